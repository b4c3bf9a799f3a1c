/** The pages of a long list: where each page begins, and how many rows the page has. The data of the
 *  rows is in the client's cache. */

import { useCallback, useMemo, useState } from "react";

/** The number of rows on a page. It must match the `first` argument in the documents. */
export const PAGE_SIZE = 50;

export interface ListPage {
  /** The cursor before the page's first row; null for the first page. */
  after: string | null;
  /** The number of rows on the page; null until the page is loaded. */
  rows: number | null;
}

/** The user's position in a list. */
export interface Place {
  /** The scroll position of the window when the list was last shown, in pixels. */
  scrolled: number;
  /** The focused row, as an index into the whole list; null if no row has the focus. */
  row: number | null;
}

interface List extends Place {
  pages: readonly ListPage[];
}

/** What a page reports when it is loaded. */
export interface PageReport {
  rows: number;
  hasNextPage: boolean;
  endCursor: string | null;
}

const TOP: Place = { scrolled: 0, row: null };
const START: readonly ListPage[] = [{ after: null, rows: null }];

/** Lists that the user has left, by URL, so that going back shows them as they were. */
const left = new Map<string, List>();

/** Forgets all lists, for example when another account signs in. */
export function forgetLists(): void {
  left.clear();
}

/** Returns the pages of the list at the URL `address`, and functions to call when a page is loaded and when the list is
 *  left. If the user comes back to the list, its pages and the user's `place` in it are restored. */
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

/** Returns the list's pages, updated now that page `number` has loaded. If there is a next page, it begins where this
 *  page ends. If it began elsewhere before, rows were added or removed, so all later pages are dropped. */
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
