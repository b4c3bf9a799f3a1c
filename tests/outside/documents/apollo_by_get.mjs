// Apollo's client, which sends the hashes of queries by GET.
import * as apollo from "./apollo.mjs";

export function connect(uri, key, fetch) {
  return apollo.connect(uri, key, fetch, { useGETForHashedQueries: true });
}
