// What an app shows, for clients that return the data of a document as the server sent it.

/** Returns the screens of an app, given a function that sends a document by name and returns its data. */
export function screens(send) {
  return {
    async customers(slug, { after } = {}) {
      const { app } = await send("Customers", { app: slug, after });
      return { app: app.name, customers: app.customers.nodes, ...app.customers.pageInfo };
    },
    async licenses(customer, { after } = {}) {
      const { nodes, pageInfo } = (await send("Licenses", { customer, after })).customer.licenses;
      return { licenses: nodes, ...pageInfo };
    },
    async rename(customer, name) {
      return (await send("Rename", { customer, name })).updateCustomer.customer.name;
    },
  };
}
