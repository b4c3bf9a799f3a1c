// node walk.mjs CLIENT URL READING-KEY WRITING-KEY SLUG: reads two pages of an app's customers and two pages of the
// first customer's licenses, and renames this customer. Prints what the screens show, and the requests.
import { recording } from "./recording.mjs";

const [client, url, readingKey, writingKey, slug] = process.argv.slice(2);
const { connect } = await import(`./${client}.mjs`);
const requests = [];
const reading = connect(url, readingKey, recording(requests));
const writing = connect(url, writingKey, recording(requests));

const first = await reading.customers(slug);
const second = await reading.customers(slug, { after: first.endCursor });
const [{ id }] = first.customers;
const licenses = await reading.licenses(id);
const others = await reading.licenses(id, { after: licenses.endCursor });
const shown = {
  app: first.app,
  customers: [first, second].map((page) => page.customers.map((each) => each.email)),
  licenses: [licenses, others].map((page) => page.licenses.map((each) => each.status)),
  last: [second, others].map((page) => !page.hasNextPage),
  renamed: await writing.rename(id, "Ada Lovelace"),
};
console.log(JSON.stringify({ shown, requests }));
