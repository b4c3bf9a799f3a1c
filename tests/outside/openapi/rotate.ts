// Rotates the keys of an app with a client that @hey-api/openapi-ts generated, and prints the result.
import { client } from "./hey-api/client.gen";
import { getPublicKey, rotateKeys } from "./hey-api/sdk.gen";

const [baseUrl, key, slug] = process.argv.slice(2) as [string, string, string];
client.setConfig({ baseUrl, auth: () => key });

async function rotate(): Promise<object> {
  const rotated = await rotateKeys({ path: { slug }, query: { retire: "immediately" } });
  const pem = await getPublicKey({ path: { slug }, parseAs: "text" });
  return {
    status: rotated.response?.status,
    licenses_resigned: rotated.data?.data.licenses_resigned,
    same_key: rotated.data?.data.public_key_pem === pem.data,
  };
}

rotate().then((outcome) => console.log(JSON.stringify(outcome)));
