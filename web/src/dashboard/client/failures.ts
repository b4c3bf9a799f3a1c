/** The reasons a request can fail, grouped by what the user can do about them. */

import type { CombinedError } from "@urql/core";

export type Failure =
  /** No response: the network or the server is down. */
  | { kind: "unreachable" }
  /** The server no longer accepts the key. */
  | { kind: "key" }
  /** The key is valid, but cannot be used in the dashboard. The message says why. */
  | { kind: "unfit"; message: string }
  /** The key does not allow the operation. The message says why. */
  | { kind: "forbidden"; message: string }
  /** Too many requests. `seconds` is the time to wait. */
  | { kind: "busy"; seconds: number }
  /** The server responds, but the request failed on the server, or the database is unavailable. */
  | { kind: "unavailable" }
  /** The request itself is invalid. */
  | { kind: "refused"; message: string };

const DEFAULT_WAIT = 10;

/** Returns why a request failed. */
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
  if (codes.includes("DOCUMENT_NOT_REGISTERED"))
    return { kind: "unfit", message: "This key only runs registered documents. Use another key." };
  if (isForbidden(error)) return { kind: "forbidden", message };
  if (codes.includes("UNAVAILABLE") || codes.includes("INTERNAL_SERVER_ERROR"))
    return { kind: "unavailable" };
  return { kind: "refused", message };
}

/** Returns true if the server rejected the key. The server does not say whether the key is unknown, revoked or
 *  expired. */
export function isRefusedKey(error: CombinedError): boolean {
  return (
    (error.response as Response | undefined)?.status === 401 || codesOf(error).includes("UNAUTHENTICATED")
  );
}

/** Returns true if the server said that the key does not allow something. */
export function isForbidden(error: CombinedError): boolean {
  return codesOf(error).includes("FORBIDDEN");
}

/** Returns the number of seconds to wait, from 1 to 3600, or `DEFAULT_WAIT` if there is no valid Retry-After header.
 *  The header is a number of seconds or a date (RFC 9110, 10.2.3). */
function secondsToWait(header: string | null | undefined): number {
  if (!header) return DEFAULT_WAIT;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 1), 3600) : DEFAULT_WAIT;
}

function codesOf(error: CombinedError): unknown[] {
  return error.graphQLErrors.map((each) => each.extensions.code);
}
