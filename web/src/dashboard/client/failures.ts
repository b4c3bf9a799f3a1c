/** What went wrong with a request, in the few kinds that a person can do something about. */

import type { CombinedError } from "@urql/core";

export type Failure =
  /** Nothing came back: no network here, or no server there. */
  | { kind: "unreachable" }
  /** The server no longer takes the key. */
  | { kind: "key" }
  /** The key may not do this. The message says what it may. */
  | { kind: "forbidden"; message: string }
  /** Too many requests; how long to wait, in seconds. */
  | { kind: "busy"; seconds: number }
  /** The server answers, but not this: its database is away, or it failed. */
  | { kind: "unavailable" }
  /** What was asked cannot be answered as it was asked. */
  | { kind: "refused"; message: string };

const DEFAULT_WAIT = 10;

/** The kind of a failed request. */
export function failureOf(error: CombinedError): Failure {
  const response = error.response as Response | undefined;
  const codes = codesOf(error);
  if (isRefusedKey(error)) return { kind: "key" };
  if (response?.status === 429 || codes.includes("RATE_LIMITED")) {
    return { kind: "busy", seconds: secondsToWait(response?.headers.get("Retry-After")) };
  }
  if (error.graphQLErrors.length === 0) {
    return response && response.status >= 400 ? { kind: "unavailable" } : { kind: "unreachable" };
  }
  const message = error.graphQLErrors[0]?.message ?? "";
  if (codes.includes("FORBIDDEN")) return { kind: "forbidden", message };
  if (codes.includes("UNAVAILABLE") || codes.includes("INTERNAL_SERVER_ERROR"))
    return { kind: "unavailable" };
  return { kind: "refused", message };
}

/** Whether the server refused the key itself: unknown, revoked or expired, which it does not tell apart. */
export function isRefusedKey(error: CombinedError): boolean {
  return (
    (error.response as Response | undefined)?.status === 401 || codesOf(error).includes("UNAUTHENTICATED")
  );
}

/** Retry-After is a number of seconds or a date (RFC 9110, 10.2.3). */
function secondsToWait(header: string | null | undefined): number {
  if (!header) return DEFAULT_WAIT;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 1), 3600) : DEFAULT_WAIT;
}

function codesOf(error: CombinedError): unknown[] {
  return error.graphQLErrors.map((each) => each.extensions.code);
}
