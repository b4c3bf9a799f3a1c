/** A long list of which only what is looked at is kept in the page: where each of its pages begins, and how many
 *  rows each has. The rows themselves are in the client's cache. */

import { useCallback, useMemo, useState } from "react";

/** Rows a page, as the documents ask for them. */
export const PAGE_SIZE = 50;

export interface ListPage {
  /** The cursor it begins behind; null for the first. */
  after: string | null;
  /** How many rows it has; null until it came. */
  rows: number | null;
}

/** Where somebody was in a list. */
interface Place {
  /** How far the window was scrolled when the list was last seen, in pixels. */
  scrolled: number;
  /** The row that had the focus, counted in the whole list. */
  row: number | null;
}

interface List extends Place {
  pages: readonly ListPage[];
}

/** What a page tells of itself when it came. */
export interface PageReport {
  rows: number;
  hasNextPage: boolean;
  endCursor: string | null;
}

const TOP: Place = { scrolled: 0, row: null };
const START: readonly ListPage[] = [{ after: null, rows: null }];

/** Lists that were left, by address: who comes back finds them as they were. */
const left = new Map<string, List>();

/** Forget all lists, as when somebody else signs in. */
export function forgetLists(): void {
  left.clear();
}

/** The pages of the list at `address`, as they were left if the person comes back to it. */
export function usePages(address: string, comesBack: boolean) {
  const [state, setState] = useState(() => ({
    address,
    pages: (comesBack && left.get(address)?.pages) || START,
  }));
  if (state.address !== address) setState({ address, pages: START });
  const pages = state.address === address ? state.pages : START;

  const report = useCallback(
    (number: number, page: PageReport) =>
      setState((before) => {
        if (before.address !== address) return before;
        const after = reported(before.pages, number, page);
        return after === before.pages ? before : { address, pages: after };
      }),
    [address],
  );
  const leave = useCallback((at: Place) => left.set(address, { pages, ...at }), [address, pages]);
  const place = useMemo(() => (comesBack && left.get(address)) || TOP, [address, comesBack]);
  return { pages, report, leave, place };
}

/** The pages after one came. Where it ends elsewhere than the next one begins, rows have come or gone: what
 *  follows is counted anew from there. */
function reported(pages: readonly ListPage[], number: number, page: PageReport): readonly ListPage[] {
  const known = pages[number];
  if (!known) return pages;
  const next = page.hasNextPage ? page.endCursor : null;
  const follows = pages[number + 1]?.after ?? null;
  if (known.rows === page.rows && follows === next) return pages;
  const upTo = [...pages.slice(0, number), { ...known, rows: page.rows }];
  if (next === null) return upTo;
  return follows === next ? [...upTo, ...pages.slice(number + 1)] : [...upTo, { after: next, rows: null }];
}
