import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { Link, useLocation, useSearchParams } from "wouter";
import { useFailure } from "../client/useFailure";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Segment } from "../design/Choice";
import forms from "../design/Form.module.css";
import { Empty, Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { counted, date, dateAndTime, fromNow } from "../format";
import { type ApiKeyFilter, type KeyKind, KeysDocument, type KeysQuery } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { CreateKey } from "./KeyForm";
import styles from "./Keys.module.css";
import { KINDS, masked, nameOf, STATES, scopesInWords, stateOf } from "./words";

type KeyRow = KeysQuery["apiKeys"]["nodes"][number];

const SHOWN_KINDS: readonly KeyKind[] = ["SECRET", "RESTRICTED", "PUBLIC", "SESSION"];

/** The account's keys, newest first. Revoked keys, expired keys and sessions are only shown on request. */
export function Keys() {
  useTitle("Keys");
  const { may } = useSession();
  const [, navigate] = useLocation();
  const [isCreating, setIsCreating] = useState(false);
  const [filter, setFilter] = useKeyFilter();
  const [starts, setStarts] = useState<readonly (string | null)[]>([null]);
  const [{ data, error }, again] = useQuery({ query: KeysDocument, variables: { after: null, filter } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const change = (next: ApiKeyFilter) => {
    setFilter(next);
    setStarts([null]);
  };
  return (
    <>
      <header className={styles.header}>
        <div>
          <h1>Keys</h1>
          <p role="status">{data && counted(data.apiKeys.totalCount, filter.live ? "live key" : "key")}</p>
        </div>
        {may("MANAGE_KEYS") && (
          <Button kind="primary" onClick={() => setIsCreating(true)}>
            <Plus size={16} aria-hidden /> New key
          </Button>
        )}
      </header>
      <div className={styles.tools}>
        <fieldset className={`${forms.segments} ${styles.states}`}>
          <legend>State</legend>
          {[true, false].map((isLive) => (
            <Segment
              key={String(isLive)}
              name="live"
              label={isLive ? "Live" : "All"}
              checked={Boolean(filter.live) === isLive}
              onChange={() => change({ ...filter, live: isLive || null })}
            />
          ))}
        </fieldset>
        <select
          className={styles.kind}
          aria-label="Kind"
          value={filter.kind ?? ""}
          onChange={(event) => change({ ...filter, kind: (event.target.value || null) as KeyKind | null })}
        >
          <option value="">All kinds</option>
          {SHOWN_KINDS.map((kind) => (
            <option key={kind} value={kind}>
              {KINDS[kind].label}
            </option>
          ))}
        </select>
      </div>
      {!data && (failure ? <Failed failure={failure} retry={retry} /> : <Loading what="keys" />)}
      {data && failure && <FailureNote failure={failure} retry={retry} />}
      {data?.apiKeys.totalCount === 0 && (
        <Empty icon={<KeyRound size={20} />} title="No matching keys">
          <p>No key of this account is of this kind and in this state.</p>
        </Empty>
      )}
      {data && data.apiKeys.totalCount > 0 && (
        <div className={styles.table}>
          <div className={styles.head} aria-hidden>
            <span>Key</span>
            <span>Scopes</span>
            <span>Last used</span>
            <span>Requests in 30 days</span>
            <span>Expires</span>
          </div>
          <ul className={styles.list} aria-label="Keys">
            {starts.map((after, number) => (
              <Page
                key={after ?? "first"}
                after={after}
                filter={filter}
                isLast={number === starts.length - 1}
                more={(cursor) => setStarts([...starts, cursor])}
              />
            ))}
          </ul>
        </div>
      )}
      {isCreating && (
        <CreateKey
          onClose={() => setIsCreating(false)}
          onCreated={(id) => {
            setIsCreating(false);
            navigate(paths.key(id));
          }}
        />
      )}
    </>
  );
}

/** The kind and state that the list is filtered by. Both are in the URL, so that a link shows the same list. */
function useKeyFilter(): [ApiKeyFilter, (filter: ApiKeyFilter) => void] {
  const [parameters, setParameters] = useSearchParams();
  const given = parameters.get("kind")?.toUpperCase();
  const kind = SHOWN_KINDS.find((each) => each === given) ?? null;
  const live = parameters.get("state") === "all" ? null : true;
  const set = (next: ApiKeyFilter) =>
    setParameters(
      (before) => {
        const after = new URLSearchParams(before);
        if (next.kind) after.set("kind", next.kind.toLowerCase());
        else after.delete("kind");
        if (next.live) after.delete("state");
        else after.set("state", "all");
        return after;
      },
      { replace: true },
    );
  return [{ kind, live }, set];
}

function Page({
  after,
  filter,
  isLast,
  more,
}: {
  after: string | null;
  filter: ApiKeyFilter;
  isLast: boolean;
  more: (cursor: string) => void;
}) {
  const [{ data, error }, again] = useQuery({ query: KeysDocument, variables: { after, filter } });
  const failure = useFailure(error);
  if (!data) {
    if (after === null) return null;
    return (
      <li className={styles.more}>
        {failure ? <FailureNote failure={failure} retry={() => again()} /> : <Loading what="more keys" />}
      </li>
    );
  }
  const { nodes, pageInfo } = data.apiKeys;
  return (
    <>
      {nodes.map((each) => (
        <Row key={each.id} apiKey={each} />
      ))}
      {isLast && pageInfo.hasNextPage && (
        <li className={styles.more}>
          <Button onClick={() => more(pageInfo.endCursor ?? "")}>Show more keys</Button>
        </li>
      )}
    </>
  );
}

function Row({ apiKey }: { apiKey: KeyRow }) {
  const { viewer } = useSession();
  const { id, kind, apps, expiresAt, lastUsedAt, usage } = apiKey;
  const state = stateOf(apiKey);
  const requests = usage.reduce((sum, day) => sum + day.requests, 0);
  return (
    <li className={styles.row}>
      <div className={styles.who}>
        <span className={styles.name}>
          <Link to={paths.key(id)}>
            <bdi>{nameOf(apiKey)}</bdi>
          </Link>
          {state !== "live" && <Badge tone={STATES[state].tone}>{STATES[state].label}</Badge>}
          {id === viewer.keyId && <Badge tone="accent">Signed in</Badge>}
        </span>
        <span className={styles.quiet}>
          {KINDS[kind].label} <code>{masked(apiKey)}</code>
        </span>
      </div>
      <div className={styles.scopes}>
        <span className={styles.label}>Scopes</span>
        <span>
          {scopesInWords(apiKey)}
          {apps && <span className={styles.quiet}> in {counted(apps.length, "app")}</span>}
        </span>
      </div>
      <div>
        <span className={styles.label}>Last used</span>
        {lastUsedAt ? (
          <time dateTime={lastUsedAt} title={dateAndTime(lastUsedAt)}>
            {fromNow(lastUsedAt)}
          </time>
        ) : (
          <span className={styles.quiet}>Never</span>
        )}
      </div>
      <div>
        <span className={styles.label}>In 30 days</span>
        <span>{counted(requests, "request")}</span>
      </div>
      <div>
        <span className={styles.label}>Expires</span>
        {expiresAt ? (
          <time dateTime={expiresAt} title={dateAndTime(expiresAt)}>
            {date(expiresAt)}
          </time>
        ) : (
          <span className={styles.quiet}>Never</span>
        )}
      </div>
    </li>
  );
}
