import type { Fetcher, Observable } from "@graphiql/toolkit";
import type { ExecutionResult } from "graphql";
import { useSyncExternalStore } from "react";
import { bearer, forgetKey, keepKey, readKey } from "../session";

/** What is known of the key that is in use. */
export type Standing =
  | { is: "none" | "asked" | "refused" }
  | { is: "known"; viewer: Viewer }
  | { is: "unanswered"; why: string };

/** Whose key it is and what it allows, as the graph says. */
export type Viewer = {
  accountName: string;
  keyKind: "SECRET" | "PUBLIC";
  keyLast4: string;
  scopes: string[];
};

/** What a request has cost: the objects it could have returned, of how many at most, and how long it took. */
export type Measured = { cost?: { requested: number; maximum: number | null }; milliseconds: number };

type State = { key: string; standing: Standing; measured: Measured | null };
type Operation = { query: string; operationName?: string | null; variables?: unknown };
type Answer = { status: number; result: ExecutionResult };
type Observer = { next(result: unknown): void; complete(): void };

const ADDRESS = new URL("graphql", document.baseURI).href;
const VIEWER = "{ viewer { accountName keyKind keyLast4 scopes } }";
const PAUSE_IN_TYPING = 300; // milliseconds

/** Asking the graph with the key of this browser session, which the dashboard shares. */
class Connection {
  private state: State = { key: readKey() ?? "", standing: { is: "none" }, measured: null };
  private readonly listeners = new Set<() => void>();
  private asking = new AbortController();

  constructor() {
    void this.askWhoseKey();
    // The browser may bring this page back as it was left, while the dashboard has changed the key.
    window.addEventListener("pageshow", () => this.changeKey(readKey() ?? ""));
  }

  readonly read = (): State => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Use another key from now on; an empty one is none. */
  changeKey(typed: string): void {
    const key = typed.trim();
    if (key === this.state.key) return;
    if (key === "") forgetKey();
    else keepKey(key);
    this.change({ key, measured: null });
    void this.askWhoseKey(PAUSE_IN_TYPING);
  }

  /** Show no longer what the last request has cost. */
  forgetMeasured(): void {
    this.change({ measured: null });
  }

  /** How GraphiQL asks: as an observable, so that it can be stopped and a late answer is never shown. */
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
    return { subscribe } as unknown as Observable<ExecutionResult>; // Of its overloads the one that is called.
  };

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

  /** From an answer to the key in use, which may have been revoked meanwhile. */
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

/** The key, what is known of it, and what the last request has cost, as they are now. */
export function useConnection(): State {
  return useSyncExternalStore(connection.subscribe, connection.read);
}

/** With a key that is refused the schema is still to be read: it is open to all. */
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
    return { is: "unanswered", why: result.errors?.[0]?.message ?? "The answer is empty." };
  } catch (error) {
    return { is: "unanswered", why: (error as Error).message };
  }
}

/** GraphiQL learns of another document's operations a moment after it shows it: until then the name is the old one. */
function nameWithin({ query, operationName }: Operation): string | undefined {
  return operationName && query.includes(operationName) ? operationName : undefined;
}

/** Throws an Error to be shown when there is no answer of the graph. */
async function post(operation: Operation, headers: Headers, signal: AbortSignal): Promise<Answer> {
  headers.set("Content-Type", "application/json");
  // The older media type: under the newer one a refused document is 400, and browsers log that as an error.
  headers.set("Accept", "application/json");
  const body = JSON.stringify({ ...operation, operationName: nameWithin(operation) });
  let response: Response;
  try {
    response = await fetch(ADDRESS, { method: "POST", headers, body, signal, cache: "no-store" });
  } catch {
    throw new Error("The server does not answer.");
  }
  try {
    return { status: response.status, result: await response.json() };
  } catch {
    throw new Error(`The answer is no JSON. Its status is ${response.status}.`);
  }
}
