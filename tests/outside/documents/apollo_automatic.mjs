// Apollo's client with automatic persisted queries: it has no manifest, and hashes the texts itself.
import { createHash } from "node:crypto";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { connectWith } from "./apollo.mjs";

export function connect(uri, key, fetch) {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  return connectWith(new PersistedQueryLink({ sha256 }), uri, key, fetch);
}
