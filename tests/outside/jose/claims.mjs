// node claims.mjs KEY-SET-URL AUDIENCE ALGORITHM TOKEN…: verifies the tokens, and prints the claims of each.
import { createRemoteJWKSet, jwtVerify } from "jose";

const [url, audience, algorithm, ...tokens] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url));
const rules = { audience, algorithms: [algorithm], issuer: "license-server" };
const verified = await Promise.all(tokens.map((token) => jwtVerify(token, keys, rules)));
console.log(JSON.stringify(verified.map(({ payload }) => payload)));
