/** Mutations, as forms and buttons use them. */

import type { TypedDocumentNode } from "@urql/core";
import { useCallback, useContext, useState } from "react";
import type { FaultFragment } from "../graph/graphql";
import { CurrentClient } from "./current";
import { type Failure, failureOf } from "./failures";

/** How a mutation ended: done with its payload, or not done, and then why. */
export type Outcome<Payload> =
  | { done: true; payload: Payload }
  | { done: false; faults: readonly FaultFragment[]; failure: Failure | null };

interface Change<Payload, Input> {
  /** Send it. Never throws; what went wrong is in the outcome, and in `failure` until the next time. */
  run: (input: Input) => Promise<Outcome<Payload>>;
  pending: boolean;
  failure: Failure | null;
}

/** A mutation whose one field takes `input` and answers a payload with userErrors, as all of the graph's do. */
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
      const answer = await client.current?.mutation(document, { input }).toPromise();
      setPending(false);
      const { data, error } = answer ?? {};
      const payload = data?.[field];
      if (error || !payload) {
        const failed: Failure = error ? failureOf(error) : { kind: "unavailable" };
        setFailure(failed);
        return { done: false, faults: [], failure: failed };
      }
      return payload.userErrors.length > 0
        ? { done: false, faults: payload.userErrors, failure: null }
        : { done: true, payload };
    },
    [client, document, field],
  );
  return { run, pending, failure };
}
