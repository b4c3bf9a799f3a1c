import { useEffect, useLayoutEffect, useRef } from "react";
import type { Place } from "./usePages";

/** Calls `leave` with the user's position in a list when the list is removed. Rows of the list have the attribute
 *  `data-row`, with the row's index in the whole list. */
export function useKeptPlace(leave: (place: Place) => void): void {
  // When the list is removed, the window may already have the scroll position of the next view.
  const last = useRef(0);
  useEffect(() => {
    const keep = () => {
      last.current = window.scrollY;
    };
    keep();
    window.addEventListener("scroll", keep, { passive: true });
    return () => window.removeEventListener("scroll", keep);
  }, []);
  const latestLeave = useRef(leave);
  latestLeave.current = leave;
  useLayoutEffect(
    () => () => void latestLeave.current({ scrolled: last.current, row: rowOf(document.activeElement) }),
    [],
  );
}

/** Returns the index of the row that contains an element, counted from the start of the whole list. */
export function rowOf(element: Element | null): number | null {
  const row = element?.closest<HTMLElement>("[data-row]");
  return row ? Number(row.dataset.row) : null;
}
