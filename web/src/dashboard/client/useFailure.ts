import type { CombinedError } from "@urql/core";
import { useMemo } from "react";
import { type Failure, failureOf } from "./failures";

/** Returns why a query failed. The returned object stays the same until the error changes. */
export function useFailure(error: CombinedError | undefined): Failure | null {
  return useMemo(() => (error ? failureOf(error) : null), [error]);
}
