import { useMemo } from "react";
import type { EventFilter } from "../graph/graphql";
import { useParameters } from "../lists/useParameters";
import { typesOf } from "./words";

/** Names of URL parameters. */
type Parameter = "type" | "by" | "of";

export interface ActivityFilter {
  /** The name of a type or of a group of types, in lower case. */
  type: string | null;
  /** The id of the key that made the changes. */
  by: string | null;
  /** The id of the only object whose events are shown. */
  of: string | null;
  filter: EventFilter;
  isFiltered: boolean;
  /** The parameters in the URL, as they are written there. */
  text: string;
  set: (changes: Partial<Record<Parameter, string | null>>) => void;
  clear: () => void;
}

/** Returns what a list of events is filtered by. It is in the URL, so that a link shows the same list. */
export function useActivityFilter(): ActivityFilter {
  const [text, set] = useParameters<Parameter>();
  return useMemo(() => {
    const given = new URLSearchParams(text);
    const asked = given.get("type") ?? "";
    const types = typesOf(asked);
    const type = types.length > 0 ? asked.toLowerCase() : null;
    const by = given.get("by") || null;
    const of = given.get("of") || null;
    return {
      type,
      by,
      of,
      filter: {
        ...(type && { types }),
        ...(by && { actorId: by }),
        ...(of && { subjectId: of }),
      },
      isFiltered: Boolean(type || by || of),
      text,
      set,
      clear: () => set({ type: null, by: null, of: null }),
    };
  }, [text, set]);
}
