/** Many licenses in a row: reads all pages of a list, and changes one license after the other. Nothing is cached. */

import type { Client, OperationResult } from "@urql/core";
import { readKey } from "../../session";
import { makePlainClient } from "../client/client";
import { type Failure, failureOf } from "../client/failures";
import {
  type ListedLicenseFragment,
  ManyLicensesDocument,
  type ManyLicensesQueryVariables,
} from "../graph/graphql";

/** Returns a client for many requests, with the key of the session. */
export const plainClient = (): Client => makePlainClient(readKey() ?? "");

/** The place from which reading continues: the cursor before the next page, or null after the last page. */
export interface NextPage {
  after: string | null;
}

export interface LicensePage {
  licenses: readonly ListedLicenseFragment[];
  next: NextPage | null;
}

/** Returns one page of licenses, or why it could not be read. Waits if there were too many requests. */
export async function readPage(
  client: Client,
  question: Omit<ManyLicensesQueryVariables, "after">,
  { after }: NextPage,
  signal: AbortSignal,
): Promise<LicensePage | Failure> {
  const result = await patiently(
    () => client.query(ManyLicensesDocument, { ...question, after }).toPromise(),
    signal,
  );
  const page = result.data?.app?.licenses;
  if (result.error) return failureOf(result.error);
  if (!page) return { kind: "unavailable" };
  const { hasNextPage, endCursor } = page.pageInfo;
  return { licenses: page.nodes, next: hasNextPage ? { after: endCursor } : null };
}

/** Returns the first licenses of a list, or null if they could not be read. */
export async function firstLicenses(
  question: Omit<ManyLicensesQueryVariables, "after">,
  atMost: number,
): Promise<ListedLicenseFragment[] | null> {
  const client = plainClient();
  const licenses: ListedLicenseFragment[] = [];
  let next: NextPage | null = { after: null };
  while (next && licenses.length < atMost) {
    const page: LicensePage | Failure = await readPage(client, question, next, new AbortController().signal);
    if ("kind" in page) return null;
    licenses.push(...page.licenses);
    next = page.next;
  }
  return licenses.slice(0, atMost);
}

/** Sends a request. If there were too many requests, waits and sends it again. */
export async function patiently<Data>(
  send: () => Promise<OperationResult<Data>>,
  signal: AbortSignal,
): Promise<OperationResult<Data>> {
  for (;;) {
    const result = await send();
    const failure = result.error && failureOf(result.error);
    if (failure?.kind !== "busy" || signal.aborted) return result;
    await wait(failure.seconds, signal);
  }
}

/** Waits, but no longer than until the signal. */
function wait(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
