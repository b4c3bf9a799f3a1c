/** A table with any number of rows, in pages. Only the visible rows and some rows around them are in the document. */

import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp } from "lucide-react";
import {
  Fragment,
  type KeyboardEvent,
  memo,
  type ReactNode,
  useEffect,
  useLayoutEffect,
  useRef,
  useSyncExternalStore,
} from "react";
import type { Failure } from "../client/failures";
import { FailureNote } from "../design/States";
import { cameBack } from "../navigation";
import styles from "./LongTable.module.css";
import { rowOf, useKeptPlace } from "./useKeptPlace";
import { type ListPage, PAGE_SIZE, type PageReport, usePages } from "./usePages";

/** The height of each row in pixels, on a wide and on a narrow screen. All rows have the same height, so the position of
 *  each is known before it is loaded. The style sheet of the rows must set the same heights. */
export interface RowHeights {
  wide: number;
  narrow: number;
}

const NARROW = window.matchMedia("(max-width: 640px)");

/** The number of rows that are rendered above the visible rows, and also below them. This number also determines how
 *  early the next page is requested. */
const OVERSCAN = 12;

/** A part of a page: the rows from `from` up to but not including `to`. */
export interface PagePart {
  page: ListPage;
  number: number;
  /** The index of the page's first row. This index, `from` and `to` are indexes into the whole list. */
  begins: number;
  from: number;
  to: number;
  rowHeight: number;
  report: (number: number, page: PageReport) => void;
}

/** The table at the URL `address`. Each part of a page is rendered by `part`, which must return `PageRows`. */
export function LongTable({
  label,
  address,
  total,
  isCounted,
  heights,
  rowClass,
  head,
  part,
}: {
  label: string;
  address: string;
  total: number;
  /** False if there may be more rows than `total`. */
  isCounted: boolean;
  heights: RowHeights;
  rowClass: string | undefined;
  /** The heads of the columns. */
  head: ReactNode;
  part: (part: PagePart) => ReactNode;
}) {
  const comesBack = useRef(cameBack()).current;
  const { pages, report, leave, place } = usePages(address, comesBack);
  const isNarrow = useSyncExternalStore(subscribeToWidth, () => NARROW.matches);
  const rowHeight = isNarrow ? heights.narrow : heights.wide;
  const body = useRef<HTMLDivElement>(null);
  const top = useRef(0);

  const virtualizer = useWindowVirtualizer({
    count: rowsOf(pages, total),
    estimateSize: () => rowHeight,
    overscan: OVERSCAN,
    scrollMargin: top.current,
    initialOffset: place.scrolled,
    // The top bar and the table's head cover part of the rows.
    scrollPaddingStart: 120,
    scrollPaddingEnd: 16,
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: positions are only valid for one height of rows
  useLayoutEffect(() => virtualizer.measure(), [rowHeight]);

  useLayoutEffect(() => {
    top.current = (body.current?.getBoundingClientRect().top ?? 0) + window.scrollY;
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the list is shown
  useLayoutEffect(() => {
    if (place.scrolled > 0) window.scrollTo(0, place.scrolled);
    if (place.row !== null) focusRow(body.current, place.row);
  }, []);

  // When the search, the filters or the order change, scroll to the top of the list.
  const asked = useRef(address);
  useLayoutEffect(() => {
    if (asked.current !== address)
      window.scrollTo(0, Math.min(window.scrollY, Math.max(top.current - 240, 0)));
    asked.current = address;
  }, [address]);

  useKeptPlace(leave);

  function walk(event: KeyboardEvent) {
    const at = rowOf(event.target as Element);
    // Menus and dialogs in a row use the same keys.
    if (at === null || event.defaultPrevented || (event.target as Element).closest("dialog, [role=menu]"))
      return;
    const screen = Math.max(Math.floor(window.innerHeight / rowHeight) - 3, 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + screen, PageUp: at - screen, Home: 0 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    const target = Math.min(Math.max(to, 0), virtualizer.options.count - 1);
    virtualizer.scrollToIndex(target);
    focusRow(body.current, target);
  }

  const items = virtualizer.getVirtualItems();
  const [first, end] = [items[0]?.index ?? 0, (items.at(-1)?.index ?? -1) + 1];
  let start = 0;
  return (
    <div role="table" aria-label={label} aria-rowcount={isCounted ? total + 1 : -1} className={styles.table}>
      <div role="rowgroup" className={styles.head}>
        <div role="row" aria-rowindex={1} className={`${styles.row} ${rowClass}`}>
          {head}
        </div>
      </div>
      <div
        role="rowgroup"
        ref={body}
        className={styles.body}
        style={{ height: virtualizer.getTotalSize() }}
        onKeyDown={walk}
      >
        {pages.map((page, number) => {
          const begins = start;
          start += page.rows ?? PAGE_SIZE;
          const from = Math.max(first, begins);
          const to = Math.min(end, start);
          return (
            from < to && (
              <Fragment key={page.after ?? "first"}>
                {part({ page, number, begins, from, to, rowHeight, report })}
              </Fragment>
            )
          );
        })}
      </div>
    </div>
  );
}

/** What a page has: the connection of its rows, once they are loaded. */
interface Connection<Node> {
  nodes: readonly Node[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** The rows of a part of a page. Reports the page when it is loaded. */
export function PageRows<Node extends { id: string }>({
  part,
  connection,
  isCurrent,
  failure,
  retry,
  rowClass,
  cells,
  awaited,
}: {
  part: PagePart;
  connection: Connection<Node> | undefined;
  /** False while the rows are those of another search, or are loading. */
  isCurrent: boolean;
  failure: Failure | null;
  retry: () => void;
  rowClass: string | undefined;
  /** Renders the cells of a row. It must stay the same function. */
  cells: (node: Node) => ReactNode;
  /** The cells of a row that is not loaded yet. */
  awaited: ReactNode;
}) {
  const { page, number, begins, from, to, rowHeight, report } = part;
  useEffect(() => {
    if (!connection || !isCurrent) return;
    const { nodes, pageInfo } = connection;
    report(number, { rows: nodes.length, hasNextPage: pageInfo.hasNextPage, endCursor: pageInfo.endCursor });
  }, [connection, isCurrent, number, report]);

  if (failure && !connection && page.after !== null) {
    return (
      <div className={styles.failure} style={{ transform: `translateY(${begins * rowHeight}px)` }}>
        <FailureNote failure={failure} retry={retry} />
      </div>
    );
  }
  const rows = [];
  for (let index = from; index < to; index++) {
    const node = connection?.nodes[index - begins];
    rows.push(
      <Row
        key={node?.id ?? index}
        index={index}
        node={node ?? null}
        top={index * rowHeight}
        isOld={!isCurrent}
        rowClass={rowClass}
        cells={cells as (node: { id: string }) => ReactNode}
        awaited={awaited}
      />,
    );
  }
  return rows;
}

const Row = memo(function Row({
  index,
  node,
  top,
  isOld,
  rowClass,
  cells,
  awaited,
}: {
  index: number;
  node: { id: string } | null;
  top: number;
  isOld: boolean;
  rowClass: string | undefined;
  cells: (node: { id: string }) => ReactNode;
  awaited: ReactNode;
}) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      data-row={index}
      className={`${styles.row} ${rowClass} ${isOld ? styles.old : ""}`}
      style={{ transform: `translateY(${top}px)` }}
    >
      {node ? cells(node) : awaited}
    </div>
  );
});

/** An order that the head of a column offers. */
interface Order {
  order: string;
  label: string;
}

/** The search, filters and order of a list, as far as the heads of its columns need them. */
interface Ordered {
  values: { order: string };
  set: (changes: { order: string }) => void;
}

/** The head of a column, with a button for each order that the column offers. */
export function Head({
  label,
  order,
  question,
  with: other,
}: {
  label: string;
  order?: string;
  question?: Ordered;
  with?: Order;
}) {
  const current = question?.values.order ?? "";
  const name = current.replace(/^-/, "");
  const isHere = question !== undefined && (name === order || name === other?.order);
  const direction = current.startsWith("-") ? "descending" : "ascending";
  return (
    <div role="columnheader" aria-sort={isHere ? direction : undefined}>
      {question && order ? (
        <>
          {other && (
            <>
              <OrderButton question={question} order={other.order} label={other.label} />
              <span aria-hidden> / </span>
            </>
          )}
          <OrderButton question={question} order={order} label={label} />
        </>
      ) : (
        label
      )}
    </div>
  );
}

function OrderButton({ question, order, label }: Order & { question: Ordered }) {
  const current = question.values.order;
  const isHere = current.replace(/^-/, "") === order;
  const next = current === order ? `-${order}` : order;
  return (
    <button type="button" onClick={() => question.set({ order: next })}>
      {label}
      {isHere &&
        (current === order ? <ArrowUp size={14} aria-hidden /> : <ArrowDown size={14} aria-hidden />)}
    </button>
  );
}

/** Returns the number of loaded rows, plus those expected on the page that is loading. `total` may be too low, because
 *  counting stops at a maximum. */
function rowsOf(pages: readonly ListPage[], total: number): number {
  const loaded = pages.reduce((rows, page) => rows + (page.rows ?? 0), 0);
  if (pages.at(-1)?.rows !== null) return loaded;
  return loaded + (loaded < total ? Math.min(PAGE_SIZE, total - loaded) : PAGE_SIZE);
}

/** Focuses the link in a row as soon as the row is rendered. Gives up after ten frames. */
function focusRow(body: HTMLElement | null, index: number, tries = 10): void {
  const link = body?.querySelector<HTMLElement>(`[data-row="${index}"] a`);
  if (link) link.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focusRow(body, index, tries - 1));
}

function subscribeToWidth(changed: () => void): () => void {
  NARROW.addEventListener("change", changed);
  return () => NARROW.removeEventListener("change", changed);
}
