// urql with its exchange for persisted documents, which hashes the text that urql prints.
import { readFileSync } from "node:fs";
import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { screens } from "./screens.mjs";

export function connect(url, key, fetch) {
  const document = (name) => readFileSync(`src/${name.toLowerCase()}.graphql`, "utf8");
  return connectWith(persistedExchange({ enableForMutation: true }), document, url, key, fetch);
}

export function connectWith(persisted, document, url, key, fetch) {
  const client = new Client({
    url,
    fetch,
    fetchOptions: { headers: { Authorization: `Bearer ${key}` } },
    exchanges: [cacheExchange, persisted, fetchExchange],
    requestPolicy: "network-only",
  });
  return screens(async (name, variables) => {
    const run = name === "Rename" ? client.mutation : client.query;
    const { data, error } = await run.call(client, document(name), variables).toPromise();
    if (error) throw error;
    return data;
  });
}
