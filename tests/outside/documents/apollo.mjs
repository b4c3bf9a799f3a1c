// Apollo's client, with the manifest that @apollo/generate-persisted-query-manifest wrote.
import { readFileSync } from "node:fs";
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { screens } from "./screens.mjs";

export function connect(uri, key, fetch, { useGETForHashedQueries = false } = {}) {
  const ids = generatePersistedQueryIdsFromManifest({
    loadManifest: () => JSON.parse(readFileSync("persisted-query-manifest.json", "utf8")),
  });
  return connectWith(new PersistedQueryLink({ ...ids, useGETForHashedQueries }), uri, key, fetch);
}

export function connectWith(persisted, uri, key, fetch) {
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([
      persisted,
      new HttpLink({ uri, fetch, headers: { Authorization: `Bearer ${key}` } }),
    ]),
  });
  return screens(async (name, variables) => {
    const document = gql(readFileSync(`src/${name.toLowerCase()}.graphql`, "utf8"));
    const { data } =
      name === "Rename"
        ? await client.mutate({ mutation: document, variables })
        : await client.query({ query: document, variables, fetchPolicy: "network-only" });
    return data;
  });
}
