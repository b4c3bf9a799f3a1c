/** Events in words. Types, actors and fields that this dashboard does not know are shown by their names. */

import { dateAndTime, number } from "../format";
import type { ActivityEventFragment, EventType } from "../graph/graphql";

/** What happened, for each type of event. The first word is the subject. */
const TYPES: Record<EventType, string> = {
  APP_CREATED: "App created",
  APP_UPDATED: "App changed",
  APP_DELETED: "App deleted",
  APP_KEYS_ROTATED: "Signing keys rotated",
  CUSTOMER_CREATED: "Customer added",
  CUSTOMER_UPDATED: "Customer changed",
  CUSTOMER_DELETED: "Customer deleted",
  LICENSE_CREATED: "License issued",
  LICENSE_UPDATED: "License changed",
  LICENSE_RENEWED: "License renewed",
  LICENSE_TRANSFERRED: "License handed over",
  LICENSE_REGENERATED: "License given a new token",
  LICENSE_REVOKED: "License revoked",
  LICENSE_REINSTATED: "License reinstated",
  LICENSE_DELETED: "License deleted",
  LICENSE_EXPIRING: "License expires soon",
  LICENSE_EXPIRED: "License expired",
  TIER_CREATED: "Tier added",
  TIER_UPDATED: "Tier changed",
  TIER_DELETED: "Tier deleted",
  FEATURE_CREATED: "Feature added",
  FEATURE_UPDATED: "Feature changed",
  FEATURE_DELETED: "Feature deleted",
  KEY_CREATED: "API key created",
  KEY_UPDATED: "API key changed",
  KEY_ROTATED: "API key rotated",
  KEY_REVOKED: "API key revoked",
  SESSION_CREATED: "Customer session created",
  DOCUMENTS_REGISTERED: "Documents registered",
  DOCUMENTS_DELETED: "Documents deleted",
};

/** The groups of types that the list of an app and the list of a customer can be filtered by. A group has the types that
 *  begin with its name. */
export const GROUPS = {
  app: [
    { group: "APP", label: "App" },
    { group: "CUSTOMER", label: "Customers" },
    { group: "LICENSE", label: "Licenses" },
    { group: "TIER", label: "Tiers" },
    { group: "FEATURE", label: "Features" },
  ],
  customer: [
    { group: "CUSTOMER", label: "Customer" },
    { group: "LICENSE", label: "Licenses" },
    { group: "SESSION", label: "Sessions" },
  ],
} as const;

/** Returns the types of events in a group. */
export const typesIn = (group: string): EventType[] =>
  (Object.keys(TYPES) as EventType[]).filter((type) => type.startsWith(`${group}_`));

/** Returns the types that a text in the URL stands for: the name of a type, or of a group. */
export function typesOf(text: string): EventType[] {
  const name = text.toUpperCase();
  return name in TYPES ? [name as EventType] : typesIn(name);
}

/** Returns what happened, such as "License revoked". */
export const titleOf = (type: EventType): string => TYPES[type] ?? plainly(type);

const DELETED = /_DELETED$/;

/** Returns true if the event is the deletion of its subject. Its data is then the state before the deletion. */
export const isDeletion = ({ type }: Pick<ActivityEventFragment, "type">): boolean => DELETED.test(type);

/** Returns a name in plain words: "webhook_disabled" and WEBHOOK_DISABLED are "Webhook disabled". */
function plainly(name: string): string {
  const words = name.replaceAll("_", " ").toLowerCase();
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

type Actor = ActivityEventFragment["actor"];

/** Returns who made a change, in words that follow "by". Returns null for the server, which only records what happens
 *  by itself, such as the end of a term. */
export function nameOfActor({ kind, id, name, last4 }: Actor): string | null {
  switch (kind) {
    case "KEY":
      if (name) return name;
      return last4 ? `the key ending in ${last4}` : `the key ${id}`;
    case "TOKEN":
      return "the holder of the token";
    case "COMMAND":
      return `the command “${id}”`;
    case "SYSTEM":
      return null;
    default:
      return plainly(kind);
  }
}

/** Returns what an event is about: a name, or the id if there is no name. */
export function nameOfSubject({ subjectType, subjectId, data }: ActivityEventFragment): string {
  const named = subjectType === "LICENSE" ? data.installation_id : (data.name ?? data.email ?? data.slug);
  return typeof named === "string" && named !== "" ? named : subjectId;
}

/** Returns what there is to add to an event: the reason for a revocation, or what else was affected. */
export function remarkOf({ type, data, causedBy }: ActivityEventFragment): string | null {
  if (type === "LICENSE_REVOKED") return text(data.revoked_reason);
  if (type === "LICENSE_DELETED" && causedBy) return "deleted with its customer";
  if (type === "LICENSE_EXPIRING")
    return typeof data.expires_at === "string" ? `on ${dateAndTime(data.expires_at)}` : null;
  const counts = [
    counted(data.licenses_resigned, "license got a new token", "licenses got new tokens"),
    isDeletion({ type }) ? counted(data.customer_count, "customer", "customers") : null,
    isDeletion({ type }) ? counted(data.license_count, "license", "licenses") : null,
  ].filter((each) => each !== null);
  if (counts.length === 0) return null;
  return `${isDeletion({ type }) ? "with " : ""}${counts.join(" and ")}`;
}

const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

function counted(value: unknown, one: string, many: string): string | null {
  return typeof value === "number" ? `${number(value)} ${value === 1 ? one : many}` : null;
}

/** The names of fields, where they differ from the plain words of the name in REST. */
const FIELDS: Readonly<Record<string, string>> = {
  id: "ID",
  customer_id: "Customer",
  tier_id: "Tier ID",
  external_id: "External ID",
  installation_id: "Installation",
  jti: "Token ID",
  webhook_url: "Webhook URL",
  public_key_pem: "Public key",
  created_at: "Created",
  expires_at: "Expires",
  revoked_at: "Revoked",
  revoked_reason: "Reason",
  customer_count: "Customers",
  license_count: "Licenses",
  licenses_resigned: "Licenses with new tokens",
};

export const labelOf = (field: string): string => FIELDS[field] ?? plainly(field);

/** Fields with ids and other texts that are read letter by letter. */
const CODES = new Set(["id", "customer_id", "tier_id", "installation_id", "jti", "slug", "tier"]);

export const isCode = (field: string): boolean => CODES.has(field);

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;

/** Returns the value of a field in words, or null if there is no value. */
export function inWords(field: string, value: unknown): string | null {
  if (value === null || value === undefined || value === "") return field === "expires_at" ? "Never" : null;
  if (Array.isArray(value) && value.every((each) => typeof each === "string"))
    return value.join(", ") || null;
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (typeof value === "object") return Object.keys(value).length > 0 ? JSON.stringify(value) : null;
  if (typeof value === "string" && field.endsWith("_at") && MOMENT.test(value)) return dateAndTime(value);
  return field === "status" ? plainly(String(value)) : String(value);
}

/** The fields that are removed when the data of a customer is erased. */
const PERSONAL = new Set(["email", "name", "external_id", "metadata"]);

export const isErased = ({ erased }: ActivityEventFragment, field: string): boolean =>
  erased && PERSONAL.has(field);

/** A field that changed. The values are null if there were none, or are none now. */
export interface Change {
  field: string;
  label: string;
  from: string | null;
  to: string | null;
}

/** Returns what changed. For metadata, each key that changed is a change of its own. */
export function changesOf({ changes }: ActivityEventFragment): Change[] {
  return Object.entries(changes).flatMap(([field, change]) => {
    const { from, to } = change as { from: unknown; to: unknown };
    if (isObject(from) && isObject(to)) return changesWithin(field, from, to);
    return [{ field, label: labelOf(field), from: inWords(field, from), to: inWords(field, to) }];
  });
}

type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function changesWithin(field: string, from: JsonObject, to: JsonObject): Change[] {
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  const changed = keys.filter((key) => JSON.stringify(from[key]) !== JSON.stringify(to[key]));
  // Erased objects have no keys.
  if (changed.length === 0) return [{ field, label: labelOf(field), from: null, to: null }];
  return changed.map((key) => ({
    field,
    label: `${labelOf(field)} › ${key}`,
    from: key in from ? JSON.stringify(from[key]) : null,
    to: key in to ? JSON.stringify(to[key]) : null,
  }));
}
