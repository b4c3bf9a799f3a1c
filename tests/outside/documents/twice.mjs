// node twice.mjs CLIENT URL KEY SLUG: reads an app's customers twice. Prints the emails or the error of each read, and
// the requests.
import { recording } from "./recording.mjs";

const [client, url, key, slug] = process.argv.slice(2);
const { connect } = await import(`./${client}.mjs`);
const requests = [];
const screens = connect(url, key, recording(requests));

async function emails() {
  try {
    return (await screens.customers(slug)).customers.map((each) => each.email);
  } catch (error) {
    return error.message;
  }
}

console.log(JSON.stringify({ shown: [await emails(), await emails()], requests }));
