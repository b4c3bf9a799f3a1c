/** Sends mutations for forms and buttons. */

import type { OperationResult, TypedDocumentNode } from "@urql/core";
import { useCallback, useContext, useState } from "react";
import type { FaultFragment } from "../graph/graphql";
import { CurrentClient } from "./current";
import { type Failure, failureOf } from "./failures";

/** The result of a mutation: the payload if the mutation succeeded, or the reasons why the mutation failed. */
export type Outcome<Payload> =
  | { done: true; payload: Payload }
  | { done: false; faults: readonly FaultFragment[]; failure: Failure | null };

interface Change<Payload, Input> {
  /** Sends the mutation. Never throws: errors are in the outcome. A failure is also in `failure` until the next run. */
  run: (input: Input) => Promise<Outcome<Payload>>;
  pending: boolean;
  failure: Failure | null;
}

/** Returns a function that sends a mutation, and its state. The document must select one field that takes `input` and
 *  returns a payload with userErrors, as all our mutations do. */
export function useChange<
  Field extends string,
  Payload extends { userErrors: readonly FaultFragment[] },
  Input,
>(
  document: TypedDocumentNode<{ [field in Field]: Payload | null }, { input: Input }>,
  field: Field,
): Change<Payload, Input> {
  const client = useContext(CurrentClient);
  const [pending, setPending] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const run = useCallback(
    async (input: Input): Promise<Outcome<Payload>> => {
      setPending(true);
      setFailure(null);
      const result = await client.current?.mutation(document, { input }).toPromise();
      setPending(false);
      const outcome = outcomeOf(result, field);
      if (!outcome.done) setFailure(outcome.failure);
      return outcome;
    },
    [client, document, field],
  );
  return { run, pending, failure };
}

/** Returns the outcome of a mutation. */
export function outcomeOf<Field extends string, Payload extends { userErrors: readonly FaultFragment[] }>(
  result: Pick<OperationResult<{ [field in Field]: Payload | null }>, "data" | "error"> | undefined,
  field: Field,
): Outcome<Payload> {
  const { data, error } = result ?? {};
  const payload = data?.[field];
  if (error || !payload)
    return { done: false, faults: [], failure: error ? failureOf(error) : { kind: "unavailable" } };
  return payload.userErrors.length > 0
    ? { done: false, faults: payload.userErrors, failure: null }
    : { done: true, payload };
}
