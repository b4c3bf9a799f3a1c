// Relay, with the ids that its compiler wrote into the artifacts.
import { createJiti } from "jiti";
import relayRuntime from "relay-runtime";

const { commitMutation, Environment, fetchQuery, getSingularSelector, Network, RecordSource, Store } = relayRuntime;

const bundler = createJiti(import.meta.url);
const artifact = (name) => bundler.import(`./relay/__generated__/${name}.graphql`, { default: true });
const [customersFragment, rowFragment, firstPageQuery, nextPageQuery, licensesQuery, renameMutation] =
  await Promise.all(
    [
      "customers_app",
      "customers_row",
      "customersQuery",
      "customersNextPageQuery",
      "customersLicensesQuery",
      "customersRenameMutation",
    ].map(artifact),
  );

export function connect(url, key, fetch) {
  const send = async ({ id }, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify({ documentId: id, variables }),
    });
    return response.json();
  };
  const environment = new Environment({ network: Network.create(send), store: new Store(new RecordSource()) });
  const ask = (query, variables) => fetchQuery(environment, query, variables).toPromise();
  const read = (fragment, reference) =>
    environment.lookup(getSingularSelector(fragment, reference)).data;
  let app;

  return {
    async customers(slug, { after } = {}) {
      // Relay appends each page to the list in its store. So a new page is what follows the edges that were there.
      const shown = app ? read(customersFragment, app).customers.edges.length : 0;
      if (after) await ask(nextPageQuery, { id: app.__id, after });
      else app = (await ask(firstPageQuery, { app: slug })).app;
      const { edges, pageInfo } = read(customersFragment, app).customers;
      const customers = edges.slice(shown).map(({ node }) => read(rowFragment, node));
      return { app: app.name, customers, ...pageInfo };
    },
    async licenses(customer, { after } = {}) {
      const { nodes, pageInfo } = (await ask(licensesQuery, { customer, after })).customer.licenses;
      return { licenses: nodes, ...pageInfo };
    },
    rename(customer, name) {
      return new Promise((resolve, reject) => {
        commitMutation(environment, {
          mutation: renameMutation,
          variables: { customer, name },
          onCompleted: ({ updateCustomer }) => resolve(updateCustomer.customer.name),
          onError: reject,
        });
      });
    },
  };
}
