import { type FormEvent, StrictMode, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { Client, type CombinedError, cacheExchange, fetchExchange, gql, Provider, useQuery } from "urql";

const SERVER = "http://127.0.0.1:4000";
const APP = "my-app";

interface PageInfo {
  hasNextPage: boolean;
  endCursor: string | null;
}
interface License {
  id: string;
  installationId: string;
  status: string;
}
interface Customer {
  id: string;
  email: string;
  licenses: { totalCount: number };
}

const CUSTOMERS = gql<{
  app: { name: string; customers: { totalCount: number; nodes: Customer[]; pageInfo: PageInfo } } | null;
}>`
  query Customers($app: String!, $after: String) {
    app(slug: $app) {
      id
      name
      customers(first: 5, after: $after) {
        totalCount
        nodes {
          id
          email
          licenses {
            totalCount
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`;

const LICENSES = gql<{ customer: { licenses: { nodes: License[]; pageInfo: PageInfo } } | null }>`
  query Licenses($customer: ID!, $after: String) {
    customer(id: $customer) {
      id
      licenses(first: 2, after: $after) {
        nodes {
          id
          installationId
          status
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`;

function makeClient(key: string): Client {
  return new Client({
    url: `${SERVER}/graphql`,
    preferGetMethod: false,
    fetchOptions: {
      headers: {
        Accept: "application/graphql-response+json, application/json;q=0.9",
        Authorization: `Bearer ${key}`,
      },
    },
    exchanges: [cacheExchange, fetchExchange],
  });
}

function Licenses() {
  // Each person signs in with a key of their own, which stays in this tab and is not in the source of the page.
  const [key, setKey] = useState(() => sessionStorage.getItem("key"));
  const client = useMemo(() => (key ? makeClient(key) : null), [key]);

  function signIn(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = String(new FormData(event.currentTarget).get("key")).trim();
    sessionStorage.setItem("key", given);
    setKey(given);
  }

  return (
    <>
      <h1>Licenses</h1>
      <form onSubmit={signIn}>
        <label>
          Key <input name="key" type="password" autoComplete="off" required />
        </label>
        <button type="submit">Sign in</button>
      </form>
      <Verify />
      {client && (
        <Provider key={key} value={client}>
          <Customers />
        </Provider>
      )}
    </>
  );
}

/** Verification needs no key, and works on pages of any origin. */
function Verify() {
  const [shown, setShown] = useState("");

  async function verify(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const query = new URLSearchParams({
      installation_id: String(new FormData(event.currentTarget).get("installation")),
    });
    setShown("");
    try {
      const response = await fetch(`${SERVER}/api/v1/apps/${APP}/licenses/verify?${query}`);
      const { data, error } = await response.json();
      setShown(
        error
          ? `${response.status} ${error.code}: ${error.message}`
          : `${data.valid ? "Valid" : "Not valid"}: ${data.status}`,
      );
    } catch {
      setShown("No response. Does the server run?");
    }
  }

  return (
    <form onSubmit={verify}>
      <label>
        Installation <input name="installation" required />
      </label>
      <button type="submit">Verify</button>
      <output>{shown}</output>
    </form>
  );
}

function Customers() {
  const pages = usePages();
  const [{ data, error }, fetchAgain] = useQuery({
    query: CUSTOMERS,
    variables: { app: APP, after: pages.after },
  });
  return (
    <section aria-label="Customers">
      <Failure error={error} onRetry={fetchAgain} />
      {!error && data?.app === null && <p role="alert">There is no app {APP}.</p>}
      {data?.app && (
        <>
          <h2>
            {data.app.name}: {data.app.customers.totalCount} customers
          </h2>
          <ul>
            {data.app.customers.nodes.map((customer) => (
              <CustomerItem key={customer.id} customer={customer} />
            ))}
          </ul>
          <Turn pages={pages} pageInfo={data.app.customers.pageInfo} />
        </>
      )}
    </section>
  );
}

function CustomerItem({ customer }: { customer: Customer }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li>
      {customer.email}{" "}
      <button type="button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        {customer.licenses.totalCount} licenses
      </button>
      {isOpen && <LicensesOf customer={customer.id} />}
    </li>
  );
}

function LicensesOf({ customer }: { customer: string }) {
  const pages = usePages();
  const [{ data, error }, fetchAgain] = useQuery({
    query: LICENSES,
    variables: { customer, after: pages.after },
  });
  return (
    <>
      <Failure error={error} onRetry={fetchAgain} />
      {data?.customer && (
        <>
          <ul>
            {data.customer.licenses.nodes.map(({ id, installationId, status }) => (
              <li key={id}>
                {installationId}: {status}
              </li>
            ))}
          </ul>
          <Turn pages={pages} pageInfo={data.customer.licenses.pageInfo} />
        </>
      )}
    </>
  );
}

/** What the server reported, or that there was no response. */
function Failure({ error, onRetry }: { error?: CombinedError; onRetry: (options: object) => void }) {
  if (!error) return null;
  const [reported] = error.graphQLErrors;
  return (
    <p role="alert">
      {reported
        ? `${error.response?.status} ${reported.extensions.code}: ${reported.message}`
        : "No response. Is the server running, and does a key have the origin of this page?"}{" "}
      <button type="button" onClick={() => onRetry({ requestPolicy: "network-only" })}>
        Try again
      </button>
    </p>
  );
}

/** The pages of a list: a cursor for each page from the first to the current one. */
function usePages() {
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  return {
    after: cursors.at(-1),
    previous: cursors.length > 1 ? () => setCursors(cursors.slice(0, -1)) : undefined,
    next: (cursor: string | null) => setCursors([...cursors, cursor]),
  };
}

function Turn({ pages, pageInfo }: { pages: ReturnType<typeof usePages>; pageInfo: PageInfo }) {
  return (
    <>
      <button type="button" disabled={!pages.previous} onClick={pages.previous}>
        Previous page
      </button>
      <button type="button" disabled={!pageInfo.hasNextPage} onClick={() => pages.next(pageInfo.endCursor)}>
        Next page
      </button>
    </>
  );
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Licenses />
    </StrictMode>,
  );
}
