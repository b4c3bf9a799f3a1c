// graphql-codegen's documents, sent with nothing but `fetch`.
import { createJiti } from "jiti";
import { screens } from "./screens.mjs";

const documents = await createJiti(import.meta.url).import("./graph/graphql.ts");

export function documentOf(name) {
  return documents[`${name}Document`];
}

export function connect(url, key, fetch) {
  return screens(async (name, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify({ documentId: documentOf(name).__meta__.hash, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw new Error(errors[0].message);
    return data;
  });
}
