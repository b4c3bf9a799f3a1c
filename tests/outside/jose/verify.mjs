// node verify.mjs KEY-SET-URL AUDIENCE ALGORITHM TOKEN: prints the token's claims, or the code of the error.
import { createRemoteJWKSet, jwtVerify } from "jose";

const [url, audience, algorithm, token] = process.argv.slice(2);
try {
  const keys = createRemoteJWKSet(new URL(url));
  const rules = { audience, algorithms: [algorithm], issuer: "license-server" };
  const { payload } = await jwtVerify(token, keys, rules);
  console.log(JSON.stringify({ payload }));
} catch (error) {
  console.log(JSON.stringify({ code: error.code ?? String(error) }));
}
