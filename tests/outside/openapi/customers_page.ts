// Makes every call on the Customers page of the reference product, using openapi-fetch, and prints the results.
// The types of every path, parameter, body and response come from the OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Customer = components["schemas"]["Customer"];
type Meta = components["schemas"]["Meta"] | components["schemas"]["CursorMeta"];

const [baseUrl, key, slug] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const customers = "/api/v1/apps/{slug}/customers";
const ofApp = { path: { slug } };

/** Returns a list's total number of items. Only lists that are read by page number have one. */
function total(meta: Meta | undefined): number | undefined {
  return meta && "total" in meta ? meta.total : undefined;
}

async function walk(): Promise<object> {
  const jane = {
    email: "jane@example.com",
    name: "Jane Smith",
    external_id: "cus_stripe_123",
    metadata: { company: "Acme Corp", plan: "annual" },
  };
  const created = await api.POST(customers, { params: ofApp, body: jane });
  const customer: Customer | undefined = created.data?.data;
  if (customer === undefined) throw new Error(JSON.stringify(created.error));
  const again = await api.POST("/api/v1/apps/{slug}/customers/get-or-create", {
    params: ofApp,
    body: { email: "jane@example.com", name: "Jane Smith" },
  });
  const joe = await api.POST("/api/v1/apps/{slug}/customers/get-or-create", {
    params: ofApp,
    body: { email: "joe@example.com", metadata: null },
  });
  const list = (query: { email?: string; external_id?: string; page?: number; per_page?: number }) =>
    api.GET(customers, { params: { ...ofApp, query } });
  const lists = await Promise.all([
    list({ email: "jane" }),
    list({ external_id: "cus_stripe_123" }),
    list({ page: 1, per_page: 20 }),
  ]);
  const found = await Promise.all([
    api.GET("/api/v1/apps/{slug}/customers/{id}", { params: { path: { slug, id: customer.id } } }),
    api.GET("/api/v1/apps/{slug}/customers/by-email", {
      params: { ...ofApp, query: { email: "jane@example.com" } },
    }),
    api.GET("/api/v1/apps/{slug}/customers/by-external-id", {
      params: { ...ofApp, query: { external_id: "cus_stripe_123" } },
    }),
  ]);
  const taken = await api.POST(customers, { params: ofApp, body: jane });
  const tier = await api.POST("/api/v1/apps/{slug}/tiers", {
    params: ofApp,
    body: { slug: "annual", name: "Annual" },
  });
  const license = await api.POST("/api/v1/apps/{slug}/licenses", {
    params: ofApp,
    body: {
      customer_id: customer.id,
      tier_id: tier.data?.data.id ?? "",
      installation_id: "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11",
      duration_days: 30,
    },
  });
  const ofCustomer = { params: { ...ofApp, query: { customer_id: customer.id } } };
  const licenses = await api.GET("/api/v1/apps/{slug}/licenses", ofCustomer);
  const deleted = await api.DELETE("/api/v1/apps/{slug}/customers/{id}", {
    params: { path: { slug, id: customer.id } },
  });
  const left = await api.GET("/api/v1/apps/{slug}/licenses", ofCustomer);
  return {
    created: [created.response.status, customer],
    again: [again.response.status, again.data?.data],
    joe: [joe.response.status, joe.data?.data.metadata],
    lists: lists.map((each) => [each.data?.data.map((one) => one.email), each.data?.meta]),
    found: found.map((each) => each.data?.data),
    taken: [taken.response.status, taken.error?.error.code, taken.error?.error.details],
    license: [license.response.status, license.data?.data.status],
    licenses: [total(licenses.data?.meta), deleted.response.status, total(left.data?.meta)],
  };
}

walk().then((outcome) => console.log(JSON.stringify(outcome)));
