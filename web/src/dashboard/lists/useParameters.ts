import { useCallback } from "react";
import { useSearchParams } from "wouter";

/** Returns the parameters in the URL as they are written there, and a function that changes some of them. An empty value
 *  or null removes a parameter. The view keeps its place in the history. */
export function useParameters<Parameter extends string>(): [
  string,
  (changes: Partial<Record<Parameter, string | null>>) => void,
] {
  const [parameters, setParameters] = useSearchParams();
  const set = useCallback(
    (changes: Partial<Record<Parameter, string | null>>) =>
      setParameters(
        (before) => {
          const after = new URLSearchParams(before);
          for (const [name, value] of Object.entries<string | null | undefined>(changes)) {
            if (value) after.set(name, value);
            else after.delete(name);
          }
          return after;
        },
        { replace: true, state: history.state },
      ),
    [setParameters],
  );
  return [parameters.toString(), set];
}
