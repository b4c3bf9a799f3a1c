import type { Fetcher, Observable } from "@graphiql/toolkit";
import type { ExecutionResult } from "graphql";
import { useSyncExternalStore } from "react";
import { bearer, endSession, forgetKey, joinSession, keepKey, readKey, takeOverSession } from "../session";

/** The status of the current key. */
export type Standing =
  | { is: "none" | "asked" | "refused" }
  | { is: "known"; viewer: Viewer }
  | { is: "unanswered"; why: string };

/** The key's account, kind, last four characters and scopes, as reported by the API. */
export type Viewer = {
  accountName: string;
  keyKind: "SECRET" | "PUBLIC" | "RESTRICTED" | "SESSION";
  keyLast4: string;
  scopes: string[];
};

/** The time that a request took, and its cost if the response has one: roughly the number of objects that the request
 *  could have returned. `maximum` is the limit of the cost, or null if there is none. */
export type Measured = { cost?: { requested: number; maximum: number | null }; milliseconds: number };

type State = { key: string; standing: Standing; measured: Measured | null };
type Operation = { query: string; operationName?: string | null; variables?: unknown };
type Answer = { status: number; result: ExecutionResult };
type Observer = { next(result: unknown): void; complete(): void };

const ADDRESS = new URL("graphql", document.baseURI).href;
const VIEWER = "{ viewer { accountName keyKind keyLast4 scopes } }";
const PAUSE_IN_TYPING = 300; // milliseconds

/** Sends GraphQL requests with the key of this browser session, which the dashboard shares. */
class Connection {
  private state: State = { key: readKey() ?? "", standing: { is: "none" }, measured: null };
  private readonly listeners = new Set<() => void>();
  private asking = new AbortController();

  constructor() {
    void this.askWhoseKey();
    // The browser may restore this page from its cache after the key was changed in the dashboard.
    window.addEventListener("pageshow", this.followKey);
    joinSession({
      keyToShare: () => (this.state.standing.is === "known" ? this.state.key : null),
      onChange: this.followKey,
    });
    void takeOverSession();
  }

  readonly read = (): State => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Uses another key from now on. An empty string means no key. */
  changeKey(typed: string): void {
    const key = typed.trim();
    if (key === this.state.key) return;
    if (key === "") forgetKey();
    else keepKey(key);
    this.change({ key, measured: null });
    void this.askWhoseKey(PAUSE_IN_TYPING);
  }

  /** Forgets the key in this tab and in all other tabs with the same key. */
  endSession(): void {
    endSession();
    this.followKey();
  }

  /** Stops showing the cost of the last request. */
  forgetMeasured(): void {
    this.change({ measured: null });
  }

  /** GraphiQL's fetcher. It returns an observable, so that a request can be stopped and a late response is not shown. */
  readonly fetcher: Fetcher = (operation, options) => {
    const subscribe = (observer: Observer) => {
      const stopped = new AbortController();
      this.execute(operation, new Headers(options?.headers), stopped.signal)
        .catch((error: Error) => ({ errors: [{ message: error.message }] }))
        .then((result) => {
          if (stopped.signal.aborted) return;
          observer.next(result);
          observer.complete();
        });
      return { unsubscribe: () => stopped.abort() };
    };
    return { subscribe } as unknown as Observable<ExecutionResult>; // The overload that GraphiQL calls.
  };

  private readonly followKey = (): void => this.changeKey(readKey() ?? "");

  private async execute(
    operation: Operation,
    headers: Headers,
    signal: AbortSignal,
  ): Promise<ExecutionResult> {
    const isOwnKey = this.state.key !== "" && !headers.has("Authorization");
    if (isOwnKey) headers.set("Authorization", bearer(this.state.key));
    if (operation.operationName === "IntrospectionQuery") return introspect(operation, headers, signal);

    this.change({ measured: null });
    const begun = performance.now();
    const { status, result } = await post(operation, headers, signal);
    if (!signal.aborted) {
      const cost = result.extensions?.cost as Measured["cost"];
      this.change({ measured: { cost, milliseconds: performance.now() - begun } });
      if (isOwnKey) this.learn(status);
    }
    return result;
  }

  /** Updates the key's status from a response: the key may have been revoked in the meantime. */
  private learn(status: number): void {
    const { is } = this.state.standing;
    if (status === 401) this.change({ standing: { is: "refused" } });
    else if (status === 200 && (is === "refused" || is === "unanswered")) void this.askWhoseKey();
  }

  private async askWhoseKey(pause = 0): Promise<void> {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const { key } = this.state;
    this.change({ standing: { is: key === "" ? "none" : "asked" } });
    if (key === "") return;
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (signal.aborted) return;
    const standing = await standingOf(key, signal);
    if (!signal.aborted) this.change({ standing });
  }

  private change(part: Partial<State>): void {
    this.state = { ...this.state, ...part };
    for (const listener of this.listeners) listener();
  }
}

export const connection = new Connection();

/** Returns the current key, its status, and the cost of the last request. */
export function useConnection(): State {
  return useSyncExternalStore(connection.subscribe, connection.read);
}

/** Reads the schema. If the key is rejected, tries again without it, because the schema needs no key. */
async function introspect(
  operation: Operation,
  headers: Headers,
  signal: AbortSignal,
): Promise<ExecutionResult> {
  const { status, result } = await post(operation, headers, signal);
  if (status !== 401) return result;
  headers.delete("Authorization");
  return (await post(operation, headers, signal)).result;
}

async function standingOf(key: string, signal: AbortSignal): Promise<Standing> {
  try {
    const { status, result } = await post(
      { query: VIEWER },
      new Headers({ Authorization: bearer(key) }),
      signal,
    );
    if (status === 401) return { is: "refused" };
    if (result.data) return { is: "known", viewer: result.data.viewer as Viewer };
    return { is: "unanswered", why: result.errors?.[0]?.message ?? "The response is empty." };
  } catch (error) {
    return { is: "unanswered", why: (error as Error).message };
  }
}

/** Returns the operation name only if the document has it: just after a tab switch, GraphiQL sends the old tab's name. */
function nameWithin({ query, operationName }: Operation): string | undefined {
  return operationName && query.includes(operationName) ? operationName : undefined;
}

/** Sends a GraphQL request. Throws an Error with a message for the user if there is no valid response. */
async function post(operation: Operation, headers: Headers, signal: AbortSignal): Promise<Answer> {
  headers.set("Content-Type", "application/json");
  // Asks for the older media type. With the newer one, a rejected document gets a 400, which browsers log as an error.
  headers.set("Accept", "application/json");
  const body = JSON.stringify({ ...operation, operationName: nameWithin(operation) });
  let response: Response;
  try {
    response = await fetch(ADDRESS, { method: "POST", headers, body, signal, cache: "no-store" });
  } catch {
    throw new Error("The server is not responding.");
  }
  try {
    return { status: response.status, result: await response.json() };
  } catch {
    throw new Error(`The response is not JSON. Its status is ${response.status}.`);
  }
}
