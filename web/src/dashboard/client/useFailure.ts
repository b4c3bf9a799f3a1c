import type { CombinedError } from "@urql/core";
import { useMemo } from "react";
import { type Failure, failureOf } from "./failures";

/** What went wrong with a query: the same object for as long as it is the same failure. */
export function useFailure(error: CombinedError | undefined): Failure | null {
  return useMemo(() => (error ? failureOf(error) : null), [error]);
}
