// urql with the ids that graphql-codegen wrote into its documents.
import { persistedExchange } from "@urql/exchange-persisted";
import { documentOf } from "./codegen.mjs";
import { connectWith } from "./urql.mjs";

export function connect(url, key, fetch) {
  const persisted = persistedExchange({
    enforcePersistedQueries: true,
    enableForMutation: true,
    generateHash: async (_, document) => document.__meta__.hash,
  });
  return connectWith(persisted, documentOf, url, key, fetch);
}
