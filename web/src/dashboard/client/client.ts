/** The one client of the graph: documents out, normalised objects in. */

import { Client, type CombinedError, fetchExchange, mapExchange } from "@urql/core";
import { type Cache, cacheExchange } from "@urql/exchange-graphcache";
import { requestPolicyExchange } from "@urql/exchange-request-policy";
import { bearer } from "../../session";
import type {
  CreateCustomerMutation,
  CreateFeatureMutation,
  CreateLicenseMutation,
  CreateTierMutation,
  DeleteAppMutation,
  DeleteCustomerMutation,
  DeleteFeatureMutation,
  DeleteLicenseMutation,
  DeleteTierMutation,
  FaultFragment,
  RegenerateLicenseMutation,
  ReinstateLicenseMutation,
  RevokeLicenseMutation,
} from "../graph/graphql";
import { isRefusedKey } from "./failures";

/** Where the graph answers, whatever path the dashboard is offered under. */
const GRAPHQL = new URL("graphql", document.baseURI).href;

/** What was read longer ago than this is shown at once and read again, in milliseconds. */
const FRESH_FOR = 30_000;

/** A client for one key. `onRefused` is told when the server no longer takes the key. */
export function makeClient(key: string, onRefused: () => void): Client {
  return new Client({
    url: GRAPHQL,
    preferGetMethod: false,
    fetchOptions: {
      headers: {
        Authorization: bearer(key),
        Accept: "application/graphql-response+json, application/json;q=0.9",
      },
    },
    exchanges: [
      requestPolicyExchange({ ttl: FRESH_FOR }),
      cacheExchange({
        keys: {
          AppConnection: () => null,
          CustomerConnection: () => null,
          LicenseConnection: () => null,
          TierConnection: () => null,
          FeatureConnection: () => null,
          PageInfo: () => null,
          UserError: () => null,
          Viewer: () => null,
        },
        updates: { Mutation: UPDATES },
      }),
      mapExchange({
        onError(error: CombinedError) {
          if (isRefusedKey(error)) onRefused();
        },
      }),
      fetchExchange,
    ],
  });
}

/** What else a mutation makes untrue: lists and totals in which its object comes or goes. Changed fields of the
 *  object itself need no word, they come with the payload. */
const UPDATES = {
  createApp: (_: unknown, __: unknown, cache: Cache) => forget(cache, "Query", ["apps"]),
  deleteApp: (result: DeleteAppMutation, _: unknown, cache: Cache) => {
    forgetObject(cache, "App", result.deleteApp?.deletedAppId);
    forget(cache, "Query", ["apps", "app"]);
  },
  createCustomer: (result: CreateCustomerMutation, _: unknown, cache: Cache) => {
    const customer = result.createCustomer?.customer;
    if (customer) forget(cache, { __typename: "App", id: customer.app.id }, ["customers"]);
  },
  deleteCustomer: (result: DeleteCustomerMutation, _: unknown, cache: Cache) => {
    forgetObject(cache, "Customer", result.deleteCustomer?.deletedCustomerId);
    forgetInApps(cache, ["customers", "licenses"]);
  },
  createLicense: (result: CreateLicenseMutation, _: unknown, cache: Cache) =>
    forgetLicensesOf(cache, result.createLicense?.license?.customer.id),
  revokeLicense: (result: RevokeLicenseMutation, args: OfObject, cache: Cache) => {
    forgetLicensesOf(cache, result.revokeLicense?.license?.customer.id);
    forgetChanged(cache, "License", args, result.revokeLicense?.userErrors);
  },
  reinstateLicense: (result: ReinstateLicenseMutation, args: OfObject, cache: Cache) => {
    forgetLicensesOf(cache, result.reinstateLicense?.license?.customer.id);
    forgetChanged(cache, "License", args, result.reinstateLicense?.userErrors);
  },
  regenerateLicense: (result: RegenerateLicenseMutation, args: OfObject, cache: Cache) =>
    forgetChanged(cache, "License", args, result.regenerateLicense?.userErrors),
  deleteLicense: (result: DeleteLicenseMutation, args: OfObject, cache: Cache) => {
    if (!result.deleteLicense?.deletedLicenseId) return;
    const customer = cache.resolve({ __typename: "License", id: args.input?.id ?? "" }, "customer");
    forgetObject(cache, "License", result.deleteLicense.deletedLicenseId);
    forgetLicensesOf(cache, typeof customer === "string" ? customer.replace(/^Customer:/, "") : undefined);
  },
  createTier: (result: CreateTierMutation, _: unknown, cache: Cache) => {
    const tier = result.createTier?.tier;
    if (tier) forget(cache, { __typename: "App", id: tier.app.id }, ["tiers"]);
  },
  updateTier: (_: unknown, __: unknown, cache: Cache) => forgetInApps(cache, ["tiers"]),
  deleteTier: (result: DeleteTierMutation, _: unknown, cache: Cache) =>
    forgetObject(cache, "Tier", result.deleteTier?.deletedTierId),
  createFeature: (result: CreateFeatureMutation, _: unknown, cache: Cache) => {
    const feature = result.createFeature?.feature;
    if (feature) forget(cache, { __typename: "App", id: feature.app.id }, ["features"]);
  },
  deleteFeature: (result: DeleteFeatureMutation, _: unknown, cache: Cache) =>
    forgetObject(cache, "Feature", result.deleteFeature?.deletedFeatureId),
} as const;

/** The arguments of a mutation that names its object. */
interface OfObject {
  input?: { id?: string };
}

type Entity = "Query" | { __typename: string; id: string };

/** Forget what was read of these fields of an object, under whatever arguments. */
function forget(cache: Cache, entity: Entity, fields: readonly string[]): void {
  for (const { fieldName, fieldKey } of cache.inspectFields(entity)) {
    if (fields.includes(fieldName)) cache.invalidate(entity, fieldKey);
  }
}

/** Forget an object that is gone. */
function forgetObject(cache: Cache, typename: string, id: string | null | undefined): void {
  if (id) cache.invalidate({ __typename: typename, id });
}

/** Forget an object that turned out to be other than was thought: somebody else has changed it. */
function forgetChanged(
  cache: Cache,
  typename: string,
  args: OfObject,
  faults: readonly FaultFragment[] = [],
): void {
  if (faults.some(({ code }) => code === "WRONG_STATE" || code === "NOT_FOUND")) {
    forgetObject(cache, typename, args.input?.id);
  }
}

/** Forget these fields of every app that was read. */
function forgetInApps(cache: Cache, fields: readonly string[]): void {
  for (const { fieldName, fieldKey } of cache.inspectFields("Query")) {
    if (fieldName !== "app") continue;
    const app = cache.resolve("Query", fieldKey);
    if (typeof app === "string") forget(cache, { __typename: "App", id: app.replace(/^App:/, "") }, fields);
  }
  forget(cache, "Query", ["apps"]);
}

/** Forget a customer's licenses and all totals they are part of. */
function forgetLicensesOf(cache: Cache, customerId: string | undefined): void {
  if (customerId) forget(cache, { __typename: "Customer", id: customerId }, ["licenses"]);
  forgetInApps(cache, ["licenses"]);
}
