/** The GraphQL client. It caches normalized objects. */

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
  RenewLicenseMutation,
  RevokeApiKeyMutation,
  RevokeLicenseMutation,
  TransferLicenseMutation,
  UpdateLicenseMutation,
} from "../graph/graphql";
import { isForbidden, isRefusedKey } from "./failures";

/** The URL of the GraphQL API. It is below the URL at which the dashboard is served. */
const GRAPHQL = new URL("graphql", document.baseURI).href;

/** The maximum age of cached data, in milliseconds. If a view uses older data, the data is fetched again, and the old
 *  data is shown until the response arrives. */
const FRESH_FOR = 30_000;

/** What a client reports about its key. */
interface KeyEvents {
  /** The server no longer accepts the key. */
  onRefused?: () => void;
  /** The key does not allow something. Its scopes may have changed. */
  onForbidden?: () => void;
}

/** Creates a client for one key. */
export function makeClient(key: string, { onRefused, onForbidden }: KeyEvents = {}): Client {
  return new Client({
    ...optionsOf(key),
    exchanges: [
      requestPolicyExchange({ ttl: FRESH_FOR }),
      cacheExchange({
        keys: {
          AppConnection: () => null,
          CustomerConnection: () => null,
          LicenseConnection: () => null,
          TierConnection: () => null,
          FeatureConnection: () => null,
          ApiKeyConnection: () => null,
          EventConnection: () => null,
          Statistic: () => null,
          Standing: () => null,
          TierStanding: () => null,
          Actor: () => null,
          KeyUsage: () => null,
          PageInfo: () => null,
          SearchHit: () => null,
          UserError: () => null,
          Viewer: () => null,
          SigningKey: (key) => key.kid as string,
        },
        updates: { Mutation: UPDATES },
      }),
      mapExchange({
        onError(error: CombinedError) {
          if (isRefusedKey(error)) onRefused?.();
          if (isForbidden(error)) onForbidden?.();
        },
      }),
      fetchExchange,
    ],
  });
}

/** Creates a client that caches nothing, for many requests in a row. */
export function makePlainClient(key: string): Client {
  return new Client({ ...optionsOf(key), requestPolicy: "network-only", exchanges: [fetchExchange] });
}

const optionsOf = (key: string) => ({
  url: GRAPHQL,
  preferGetMethod: false as const,
  fetchOptions: {
    headers: {
      Authorization: bearer(key),
      Accept: "application/graphql-response+json, application/json;q=0.9",
    },
  },
});

/** The fields of an app that a change of its licenses changes. */
const OF_LICENSES = ["licenses", "statistics", "standing"];

/** For each mutation that may change lists or totals: a function that removes these from the cache. The fields of a
 *  changed object itself are updated from the payload. */
const UPDATES = {
  createApp: (_: unknown, __: unknown, cache: Cache) => forget(cache, "Query", ["apps"]),
  deleteApp: (result: DeleteAppMutation, _: unknown, cache: Cache) => {
    forgetObject(cache, "App", result.deleteApp?.deletedAppId);
    forget(cache, "Query", ["apps", "app"]);
  },
  // All active licenses have new tokens.
  rotateAppKeys: (_: unknown, __: unknown, cache: Cache) =>
    forget(cache, "Query", ["signingKeys", "customer"]),
  createApiKey: (_: unknown, __: unknown, cache: Cache) => forget(cache, "Query", ["apiKeys"]),
  revokeApiKey: (result: RevokeApiKeyMutation, args: OfObject, cache: Cache) => {
    forget(cache, "Query", ["apiKeys"]);
    forgetChanged(cache, "ApiKey", args, result.revokeApiKey?.userErrors);
  },
  createCustomer: (result: CreateCustomerMutation, _: unknown, cache: Cache) => {
    const customer = result.createCustomer?.customer;
    if (customer) forget(cache, { __typename: "App", id: customer.app.id }, ["customers", "statistics"]);
  },
  deleteCustomer: (result: DeleteCustomerMutation, _: unknown, cache: Cache) => {
    forgetObject(cache, "Customer", result.deleteCustomer?.deletedCustomerId);
    forgetInApps(cache, ["customers", ...OF_LICENSES]);
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
  updateLicense: (result: UpdateLicenseMutation, args: OfObject, cache: Cache) => {
    forgetLicensesOf(cache, result.updateLicense?.license?.customer.id);
    forgetChanged(cache, "License", args, result.updateLicense?.userErrors);
  },
  renewLicense: (result: RenewLicenseMutation, args: OfObject, cache: Cache) => {
    forgetLicensesOf(cache, result.renewLicense?.license?.customer.id);
    forgetChanged(cache, "License", args, result.renewLicense?.userErrors);
  },
  // The payload does not say who had the license before.
  transferLicense: (result: TransferLicenseMutation, args: OfObject, cache: Cache) => {
    if (result.transferLicense?.license) forget(cache, "Query", ["customer"]);
    forgetInApps(cache, ["customers", ...OF_LICENSES]);
    forgetChanged(cache, "License", args, result.transferLicense?.userErrors);
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

/** The arguments of a mutation whose input has the id of the object to change. */
interface OfObject {
  input?: { id?: string };
}

type Entity = "Query" | { __typename: string; id: string };

/** Removes these fields of an object from the cache, whatever their arguments are. */
function forget(cache: Cache, entity: Entity, fields: readonly string[]): void {
  for (const { fieldName, fieldKey } of cache.inspectFields(entity)) {
    if (fields.includes(fieldName)) cache.invalidate(entity, fieldKey);
  }
}

/** Removes an object from the cache, if an id is given. */
function forgetObject(cache: Cache, typename: string, id: string | null | undefined): void {
  if (id) cache.invalidate({ __typename: typename, id });
}

/** Removes an object from the cache if a mutation's errors show that someone else has changed the object. */
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

/** Removes these fields of every app from the cache, and the list of apps. */
function forgetInApps(cache: Cache, fields: readonly string[]): void {
  for (const { fieldName, fieldKey } of cache.inspectFields("Query")) {
    if (fieldName !== "app") continue;
    const app = cache.resolve("Query", fieldKey);
    if (typeof app === "string") forget(cache, { __typename: "App", id: app.replace(/^App:/, "") }, fields);
  }
  forget(cache, "Query", ["apps"]);
}

/** Removes the lists and totals of licenses of all apps from the cache and, if a customer is given, the licenses of this
 *  customer. */
function forgetLicensesOf(cache: Cache, customerId: string | undefined): void {
  if (customerId) forget(cache, { __typename: "Customer", id: customerId }, ["licenses"]);
  forgetInApps(cache, OF_LICENSES);
}
