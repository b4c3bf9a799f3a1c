// Records what a client sends and receives.

/** Returns a `fetch` that adds each request to a list: its method, what named the document, the status, and the error's code. */
export function recording(requests) {
  return async (url, options) => {
    const response = await fetch(url, options);
    const sent = options.method === "GET" ? parametersOf(url) : JSON.parse(options.body);
    const { errors } = await response.clone().json();
    requests.push([options.method, namedBy(sent), response.status, errors?.[0].extensions.code ?? null]);
    return response;
  };
}

function parametersOf(url) {
  const parameters = Object.fromEntries(new URL(url).searchParams);
  return { ...parameters, extensions: JSON.parse(parameters.extensions ?? "{}") };
}

function namedBy({ query, documentId, extensions }) {
  const names = { text: query, documentId, sha256Hash: extensions?.persistedQuery?.sha256Hash };
  return Object.keys(names).filter((name) => names[name]);
}
