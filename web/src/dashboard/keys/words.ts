/** The kinds, scopes and states of keys, in words. */

import type { KeyDetailsFragment, KeyKind, KeySummaryFragment, Scope } from "../graph/graphql";

export const KINDS: Record<KeyKind, { label: string; hint: string }> = {
  SECRET: { label: "Secret", hint: "May do everything. Only for your own servers." },
  RESTRICTED: { label: "Restricted", hint: "May do what its scopes allow. Keep it secret, too." },
  PUBLIC: { label: "Public", hint: "Only reads. For pages and apps, where anyone can see it." },
  SESSION: { label: "Session", hint: "Shows one customer its own licenses." },
};

/** The scopes that can be chosen for a key, with what each allows. WRITE is left out: only secret keys can have it. */
export const SCOPES: readonly { scope: Scope; label: string; hint: string }[] = [
  { scope: "READ", label: "Read", hint: "Apps, tiers, features and licenses" },
  { scope: "READ_CUSTOMERS", label: "Read customers", hint: "With their emails and metadata" },
  { scope: "READ_TOKENS", label: "Read tokens", hint: "The tokens of licenses" },
  { scope: "READ_EVENTS", label: "Read events", hint: "What was changed, when and by which key" },
  { scope: "WRITE_CUSTOMERS", label: "Change customers", hint: "Also creates and deletes them" },
  { scope: "WRITE_LICENSES", label: "Change licenses", hint: "Also issues, revokes and deletes them" },
  {
    scope: "WRITE_CATALOG",
    label: "Change the catalog",
    hint: "Apps, tiers and features; also deletes them",
  },
  {
    scope: "ROTATE_SIGNING_KEYS",
    label: "Rotate signing keys",
    hint: "Gives all active licenses new tokens",
  },
  { scope: "MANAGE_KEYS", label: "Manage keys", hint: "Also registers documents" },
  { scope: "MANAGE_WEBHOOKS", label: "Manage webhooks", hint: "Where events are sent" },
];

/** Common selections of scopes. */
export const PRESETS: readonly { label: string; scopes: readonly Scope[] }[] = [
  {
    label: "Support",
    scopes: ["READ", "READ_CUSTOMERS", "READ_EVENTS", "WRITE_CUSTOMERS", "WRITE_LICENSES"],
  },
  { label: "Read only", scopes: ["READ", "READ_CUSTOMERS", "READ_EVENTS"] },
  {
    label: "Shop",
    scopes: ["READ", "READ_CUSTOMERS", "READ_TOKENS", "WRITE_CUSTOMERS", "WRITE_LICENSES"],
  },
];

/** Returns the label of a scope. For a scope that this dashboard does not know, returns its name. */
export const labelOf = (scope: Scope): string => SCOPES.find((each) => each.scope === scope)?.label ?? scope;

/** Returns the name of a preset with exactly these scopes, or null. */
export function presetOf(scopes: readonly Scope[]): string | null {
  const found = PRESETS.find(
    (preset) =>
      preset.scopes.length === scopes.length && preset.scopes.every((each) => scopes.includes(each)),
  );
  return found?.label ?? null;
}

/** Returns what a key is called: its name or, if it has none, its kind. */
export const nameOf = ({ name, kind }: Pick<KeySummaryFragment, "name" | "kind">): string =>
  name ?? `${KINDS[kind].label} key`;

/** Returns how a key's token begins and ends. */
export const masked = ({ prefix, last4 }: Pick<KeySummaryFragment, "prefix" | "last4">): string =>
  `${prefix}…${last4}`;

/** Returns a key's scopes in a few words. */
export function scopesInWords({ kind, scopes }: KeyDetailsFragment): string {
  if (kind === "SECRET") return "Everything";
  return (
    presetOf(scopes) ??
    scopes
      .filter((scope) => scope !== "WRITE")
      .map(labelOf)
      .join(", ")
  );
}

export type KeyState = "live" | "expired" | "revoked";

export const STATES = {
  live: { tone: "good", label: "Live" },
  expired: { tone: "warn", label: "Expired" },
  revoked: { tone: "bad", label: "Revoked" },
} as const;

/** Returns the state of a key. Only a live key can be used. */
export function stateOf({ revokedAt, expiresAt }: KeyDetailsFragment): KeyState {
  if (revokedAt) return "revoked";
  return expiresAt && new Date(expiresAt).getTime() <= Date.now() ? "expired" : "live";
}
