import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp } from "lucide-react";
import { type KeyboardEvent, memo, useEffect, useLayoutEffect, useRef, useSyncExternalStore } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { useFailure } from "../client/useFailure";
import { Avatar } from "../design/Avatar";
import { FailureNote } from "../design/States";
import { date, number } from "../format";
import {
  type CustomerFilter,
  type CustomerOrder,
  type CustomerRowFragment,
  CustomersDocument,
} from "../graph/graphql";
import { rowOf, useKeptPlace } from "../lists/useKeptPlace";
import { type ListPage, PAGE_SIZE, type PageReport, usePages } from "../lists/usePages";
import { cameBack, paths } from "../navigation";
import styles from "./CustomerTable.module.css";
import type { CustomerQuestion } from "./question";

/** All rows have the same height, so the position of each is known before it is loaded. */
const ROW_HEIGHT = 60;
const NARROW = window.matchMedia("(max-width: 640px)");
const NARROW_ROW_HEIGHT = 76;

/** The history state of a customer's view that was opened from the list. The link to the list then goes back in the
 *  history. */
const FROM_LIST = { fromList: true };

/** The number of rows that are rendered above the visible rows, and also below them. This number also determines how
 *  early the next page is requested. */
const OVERSCAN = 12;

interface Variables {
  slug: string;
  filter: CustomerFilter;
  orderBy: CustomerOrder;
  countAtMost: number | null;
}

/** The rows of all pages that have been requested. Only the visible rows and some rows around them are in the
 *  document. */
export function CustomerTable({
  variables,
  address,
  question,
  total,
}: {
  variables: Variables;
  address: string;
  question: CustomerQuestion;
  total: number;
}) {
  const comesBack = useRef(cameBack()).current;
  const { pages, report, leave, place } = usePages(address, comesBack);
  const rowHeight = useSyncExternalStore(subscribeToWidth, currentRowHeight);
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
    if (at === null) return;
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
  const isCounted = variables.countAtMost === null || total < variables.countAtMost;
  let start = 0;
  return (
    <div
      role="table"
      aria-label="Customers"
      aria-rowcount={isCounted ? total + 1 : -1}
      className={styles.table}
    >
      <div role="rowgroup" className={styles.head}>
        <div role="row" aria-rowindex={1} className={styles.row}>
          <Head question={question} order="email" label="Email" with={{ order: "name", label: "Name" }} />
          <Head label="External ID" />
          <Head label="Licenses" />
          <Head question={question} order="created_at" label="Added" />
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
              <Page
                key={page.after ?? "first"}
                page={page}
                number={number}
                variables={variables}
                begins={begins}
                from={from}
                to={to}
                rowHeight={rowHeight}
                report={report}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

/** The rows of the page that begins at `begins`, from `from` up to but not including `to`. All three are indexes into
 *  the whole list. */
function Page({
  page,
  number,
  variables,
  begins,
  from,
  to,
  rowHeight,
  report,
}: {
  page: ListPage;
  number: number;
  variables: Variables;
  begins: number;
  from: number;
  to: number;
  rowHeight: number;
  report: (number: number, page: PageReport) => void;
}) {
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: CustomersDocument,
    variables: {
      ...variables,
      after: page.after,
      isFirst: page.after === null,
      countAtMost: page.after === null ? variables.countAtMost : null,
    },
  });
  const failure = useFailure(error);
  const customers = data?.app?.customers;
  const isCurrent = !fetching || stale;
  useEffect(() => {
    if (!customers || !isCurrent) return;
    const { nodes, pageInfo } = customers;
    report(number, { rows: nodes.length, hasNextPage: pageInfo.hasNextPage, endCursor: pageInfo.endCursor });
  }, [customers, isCurrent, number, report]);

  if (failure && !customers && page.after !== null) {
    return (
      <div className={styles.failure} style={{ transform: `translateY(${begins * rowHeight}px)` }}>
        <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />
      </div>
    );
  }
  const rows = [];
  for (let index = from; index < to; index++) {
    const customer = customers?.nodes[index - begins];
    rows.push(
      <Row
        key={customer?.id ?? index}
        index={index}
        customer={customer ?? null}
        slug={variables.slug}
        top={index * rowHeight}
        isOld={!isCurrent}
      />,
    );
  }
  return rows;
}

const Row = memo(function Row({
  index,
  customer,
  slug,
  top,
  isOld,
}: {
  index: number;
  customer: CustomerRowFragment | null;
  slug: string;
  top: number;
  isOld: boolean;
}) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      data-row={index}
      className={`${styles.row} ${isOld ? styles.old : ""} ${customer ? "" : styles.awaited}`}
      style={{ transform: `translateY(${top}px)` }}
    >
      {customer ? <Cells customer={customer} slug={slug} /> : AWAITED}
    </div>
  );
});

function Cells({ customer, slug }: { customer: CustomerRowFragment; slug: string }) {
  const { email, name, externalId, licenses, active, createdAt } = customer;
  return (
    <>
      <div role="cell" className={styles.who}>
        <Avatar name={name} email={email} />
        <span className={styles.names}>
          <Link to={paths.customer(slug, customer.id)} state={FROM_LIST}>
            <bdi>{name ?? email}</bdi>
          </Link>
          {name && <bdi className={styles.email}>{email}</bdi>}
        </span>
      </div>
      <div role="cell" className={styles.external}>
        {externalId ? <bdi>{externalId}</bdi> : <span className={styles.none}>–</span>}
      </div>
      <div role="cell" className={styles.licenses}>
        {licenses.totalCount === 0 ? (
          <span className={styles.none}>None</span>
        ) : (
          <span>
            <strong>{number(active.totalCount)}</strong> active
            <span className={styles.none}> of {number(licenses.totalCount)}</span>
          </span>
        )}
      </div>
      <div role="cell" className={styles.added}>
        {date(createdAt)}
      </div>
    </>
  );
}

const AWAITED = (
  <>
    <div role="cell" className={styles.who}>
      <span className={styles.circle} />
      <span className={styles.bone} />
    </div>
    <div role="cell" />
    <div role="cell" />
    <div role="cell" />
  </>
);

/** The head of a column, with a button for each order that the column offers. */
function Head({
  label,
  order,
  question,
  with: other,
}: {
  label: string;
  order?: string;
  question?: CustomerQuestion;
  with?: { order: string; label: string };
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

function OrderButton({
  question,
  order,
  label,
}: {
  question: CustomerQuestion;
  order: string;
  label: string;
}) {
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

const currentRowHeight = () => (NARROW.matches ? NARROW_ROW_HEIGHT : ROW_HEIGHT);

function subscribeToWidth(changed: () => void): () => void {
  NARROW.addEventListener("change", changed);
  return () => NARROW.removeEventListener("change", changed);
}
