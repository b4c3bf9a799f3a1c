import { History, RefreshCw, SearchX, X } from "lucide-react";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Empty, FailureNote, Loading } from "../design/States";
import { counted } from "../format";
import {
  type ActivityEventFragment,
  type ActivityPageFragment,
  ActorChoicesDocument,
  EventsDocument,
  type EventsQuery,
} from "../graph/graphql";
import { nameOf } from "../keys/words";
import { useKeptPlace } from "../lists/useKeptPlace";
import { type ListPage, type PageReport, usePages } from "../lists/usePages";
import { cameBack } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./Activity.module.css";
import { EventRow } from "./EventRow";
import { type ActivityFilter, useActivityFilter } from "./useActivityFilter";
import { GROUPS, nameOfActor, titleOf, typesIn } from "./words";

/** How often the newest events are fetched again while they are shown, in milliseconds. */
const REFRESH = 5_000;

/** What a list of events is about. */
export interface Owner {
  kind: keyof typeof GROUPS;
  id: string;
  appSlug: string;
}

/** Keys by id, with what they are called. */
type Actors = ReadonlyMap<string, string>;

/** The events of an app or a customer, newest first, with filters. Only use it if the key may read events. */
export function Activity({ owner, address }: { owner: Owner; address: string }) {
  const filter = useActivityFilter();
  const [actors, addActors] = useActors();
  const [refreshes, setRefreshes] = useState(0);
  return (
    <section className={styles.activity} aria-label="Activity">
      <div className={styles.tools}>
        <Filters owner={owner} filter={filter} actors={actors} />
        <Button onClick={() => setRefreshes(refreshes + 1)}>
          <RefreshCw size={15} aria-hidden /> Refresh
        </Button>
      </div>
      <EventList
        owner={owner}
        address={`${address}?${filter.text}`}
        filter={filter}
        refreshes={refreshes}
        onEvents={addActors}
      />
    </section>
  );
}

interface ListProps {
  owner: Owner;
  filter: ActivityFilter;
  /** How often the user has asked for the newest events. */
  refreshes: number;
  /** Called with the events of every page that is loaded. */
  onEvents: (events: readonly ActivityEventFragment[]) => void;
}

/** The pages of events that the user has asked for. If the user comes back to the list, the same pages are shown. */
function EventList({ address, ...props }: ListProps & { address: string }) {
  const comesBack = useRef(cameBack()).current;
  const { pages, report, leave, place } = usePages(address, comesBack);
  const [opened, setOpened] = useState(() => ({ address, count: loadedOf(pages) }));
  const count = opened.address === address ? opened.count : 1;
  const list = useRef<HTMLOListElement>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the list is shown
  useLayoutEffect(() => {
    if (place.scrolled > 0) window.scrollTo(0, place.scrolled);
    if (place.row !== null)
      list.current
        ?.querySelector<HTMLElement>(`[data-row="${place.row}"] :is(a, button)`)
        ?.focus({ preventScroll: true });
  }, []);
  useKeptPlace(leave);

  const shown = pages.slice(0, count);
  const rows = shown.reduce((sum, page) => sum + (page.rows ?? 0), 0);
  const hasMore = pages.length > count;
  const isEmpty = shown[0]?.rows === 0;
  return (
    <>
      <p className={styles.count} role="status">
        {rows > 0 && (hasMore ? `The newest ${counted(rows, "event")}` : counted(rows, "event"))}
      </p>
      <ol ref={list} className={styles.list} aria-label="Events, newest first" hidden={isEmpty}>
        {shown.map((page, number) => (
          <Page
            {...props}
            key={page.after ?? "first"}
            page={page}
            number={number}
            begins={shown.slice(0, number).reduce((sum, each) => sum + (each.rows ?? 0), 0)}
            isOnly={count === 1}
            report={report}
          />
        ))}
      </ol>
      {hasMore && (
        <div className={styles.more}>
          <Button onClick={() => setOpened({ address, count: count + 1 })}>Show more events</Button>
        </div>
      )}
      {isEmpty && <NoEvents filter={props.filter} />}
    </>
  );
}

/** Returns the number of pages that were loaded, at least 1. */
const loadedOf = (pages: readonly ListPage[]): number =>
  pages.filter(({ rows }) => rows !== null).length || 1;

function NoEvents({ filter }: { filter: ActivityFilter }) {
  return filter.isFiltered ? (
    <Empty icon={<SearchX size={20} />} title="No matching events">
      <p>Nothing that matches these filters is on record.</p>
      <Button onClick={filter.clear}>Clear filters</Button>
    </Empty>
  ) : (
    <Empty icon={<History size={20} />} title="No events">
      <p>Every change from now on is listed here.</p>
    </Empty>
  );
}

function Page({
  owner,
  filter,
  refreshes,
  onEvents,
  page,
  number,
  begins,
  isOnly,
  report,
}: ListProps & {
  page: ListPage;
  number: number;
  /** The index of the page's first row in the whole list. */
  begins: number;
  isOnly: boolean;
  report: (number: number, page: PageReport) => void;
}) {
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: EventsDocument,
    variables: { ownerId: owner.id, after: page.after, filter: filter.filter },
    // Events may have been added since the first page was last shown. Those on other pages stay the same.
    requestPolicy: number === 0 ? "cache-and-network" : "cache-first",
  });
  const failure = useFailure(error);
  const events = eventsOf(data);
  const isCurrent = !fetching || stale;

  useEffect(() => {
    if (!events || !isCurrent) return;
    const { nodes, pageInfo } = events;
    onEvents(nodes);
    report(number, { rows: nodes.length, hasNextPage: pageInfo.hasNextPage, endCursor: pageInfo.endCursor });
  }, [events, isCurrent, number, onEvents, report]);

  const isFirst = number === 0;
  useEffect(() => {
    if (isFirst && refreshes > 0) again({ requestPolicy: "network-only" });
  }, [isFirst, refreshes, again]);

  // New events move the pages. While more than one page is shown, only the user refreshes the list.
  useEffect(() => {
    if (!isOnly) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") again({ requestPolicy: "cache-and-network" });
    }, REFRESH);
    return () => clearInterval(timer);
  }, [isOnly, again]);

  return (
    <>
      {failure && (
        <li className={styles.note}>
          <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />
        </li>
      )}
      {!events && !failure && (
        <li>
          <Loading what="events" />
        </li>
      )}
      {events?.nodes.map((event, index) => (
        <EventRow
          key={event.id}
          event={event}
          row={begins + index}
          appSlug={owner.appSlug}
          within={filter.of ?? owner.id}
          isOld={!isCurrent}
        />
      ))}
    </>
  );
}

function eventsOf(data: EventsQuery | undefined): ActivityPageFragment | null {
  return data?.node && "events" in data.node ? data.node.events : null;
}

/** Returns the keys to choose from: those whose events were shown and, if the user may see them, all live keys. */
function useActors(): [Actors, (events: readonly ActivityEventFragment[]) => void] {
  const { may, viewer } = useSession();
  const [seen, setSeen] = useState<Actors>(new Map());
  const [{ data }] = useQuery({ query: ActorChoicesDocument, pause: !may("MANAGE_KEYS") });
  const add = useRef((events: readonly ActivityEventFragment[]) =>
    setSeen((before) => {
      const after = new Map(before);
      for (const { actor } of events) {
        if (actor.kind === "KEY" && actor.id) after.set(actor.id, nameOfActor(actor) ?? actor.id);
      }
      return after.size === before.size ? before : after;
    }),
  ).current;
  const own = viewer.keyId
    ? [[viewer.keyId, `${nameOf({ name: viewer.keyName, kind: viewer.keyKind })} (yours)`] as const]
    : [];
  const live = (data?.apiKeys.nodes ?? []).map((key) => [key.id, nameOf(key)] as const);
  return [new Map([...live, ...seen, ...own]), add];
}

function Filters({ owner, filter, actors }: { owner: Owner; filter: ActivityFilter; actors: Actors }) {
  const groups = GROUPS[owner.kind];
  const isUnlisted = filter.by !== null && !actors.has(filter.by);
  return (
    <>
      <select
        aria-label="Kind of event"
        value={filter.type ?? ""}
        onChange={(event) => filter.set({ type: event.target.value })}
      >
        <option value="">All events</option>
        {groups.map(({ group, label }) => (
          <optgroup key={group} label={label}>
            <option value={group.toLowerCase()}>{`${label}: all`}</option>
            {typesIn(group).map((type) => (
              <option key={type} value={type.toLowerCase()}>
                {titleOf(type)}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <select
        aria-label="Made by"
        value={filter.by ?? ""}
        onChange={(event) => filter.set({ by: event.target.value })}
      >
        <option value="">By anyone</option>
        {[...actors].map(([id, name]) => (
          <option key={id} value={id}>
            {`By ${name}`}
          </option>
        ))}
        {isUnlisted && <option value={filter.by ?? ""}>{`By ${filter.by}`}</option>}
      </select>
      {filter.of && (
        <Button size="small" onClick={() => filter.set({ of: null })}>
          Only <code>{filter.of}</code> <X size={14} aria-hidden />
          <span className={styles.hidden}>Show all</span>
        </Button>
      )}
    </>
  );
}
