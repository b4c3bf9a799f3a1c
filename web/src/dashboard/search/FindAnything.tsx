import { LoaderCircle, Search } from "lucide-react";
import { useCallback, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useQuery } from "urql";
import { useLocation } from "wouter";
import { useFailure } from "../client/useFailure";
import { Avatar } from "../design/Avatar";
import { Badge } from "../design/Badge";
import { Dialog } from "../design/Dialog";
import { FailureNote } from "../design/States";
import { useThrottled } from "../design/useThrottled";
import { counted } from "../format";
import { SearchDocument, type SearchField, type SearchQuery } from "../graph/graphql";
import { STATUS } from "../licenses/words";
import { paths } from "../navigation";
import { leave } from "../unsaved";
import styles from "./FindAnything.module.css";

type Hit = SearchQuery["search"][number];

/** The minimum time between two searches while the user types, in milliseconds. */
const BETWEEN_SEARCHES = 220;

const FIELDS: Record<SearchField, string> = {
  EMAIL: "Email",
  NAME: "Name",
  EXTERNAL_ID: "External ID",
  CUSTOMER_ID: "Customer ID",
  LICENSE_ID: "License ID",
  INSTALLATION_ID: "Installation",
  JTI: "Token ID",
  TOKEN: "Token",
};

const IS_MAC = /mac|iphone|ipad/i.test(navigator.platform);

/** The button in the top bar that opens the search across apps. Ctrl+K, or Command+K on a Mac, opens it too. */
export function FindAnything() {
  const [isOpen, setIsOpen] = useState(false);
  // As soon as anyone sees the button, the shortcut works.
  useLayoutEffect(() => {
    const open = (event: KeyboardEvent) => {
      const isShortcut = event.key.toLowerCase() === "k" && (IS_MAC ? event.metaKey : event.ctrlKey);
      if (!isShortcut || event.altKey || event.shiftKey) return;
      event.preventDefault(); // Browsers have shortcuts of their own with K.
      // Another dialog must be closed first. It may have unsaved changes.
      if (!document.querySelector("dialog[open]")) setIsOpen(true);
    };
    window.addEventListener("keydown", open);
    return () => window.removeEventListener("keydown", open);
  }, []);
  return (
    <>
      <button
        type="button"
        className={styles.opener}
        aria-haspopup="dialog"
        aria-keyshortcuts={IS_MAC ? "Meta+K" : "Control+K"}
        aria-label="Find anything"
        onClick={() => setIsOpen(true)}
      >
        <Search size={16} aria-hidden />
        <span>Find anything</span>
        <kbd aria-hidden>{IS_MAC ? "⌘K" : "Ctrl K"}</kbd>
      </button>
      {isOpen && <Finder onClose={() => setIsOpen(false)} />}
    </>
  );
}

/** The dialog: a combobox whose list has the hits. Follows WAI-ARIA's pattern of an editable combobox. */
function Finder({ onClose }: { onClose: () => void }) {
  const [, navigate] = useLocation();
  const [asked, setAsked] = useState("");
  const [text, setText] = useThrottled(asked, setAsked, BETWEEN_SEARCHES);
  const [active, setActive] = useState(0);
  /** Whether the best hit is opened as soon as it is found, because the user pressed Enter before. */
  const [isEager, setIsEager] = useState(false);
  const list = useId();
  const found = useHits(asked, text === asked);
  const { hits, failure, isWaiting } = found;
  const chosen = hits?.[Math.min(active, hits.length - 1)];

  const open = useCallback(
    ({ customer, license }: Hit) => {
      onClose();
      const path = paths.customer(customer.app.slug, customer.id);
      leave(() => navigate(license ? `${path}#${license.id}` : path));
    },
    [onClose, navigate],
  );

  useEffect(() => {
    if (!isEager || !hits) return;
    setIsEager(false);
    if (hits[0]) open(hits[0]);
  }, [isEager, hits, open]);

  function onKeyDown(event: React.KeyboardEvent) {
    const last = (hits?.length ?? 0) - 1;
    const to = { ArrowDown: active < last ? active + 1 : 0, ArrowUp: active > 0 ? active - 1 : last }[
      event.key
    ];
    if (to !== undefined) setActive(Math.max(to, 0));
    else if (event.key !== "Enter") return;
    else if (chosen) open(chosen);
    else setIsEager(text.trim() !== "");
    event.preventDefault();
  }

  return (
    <Dialog title="Find anything" onClose={onClose} wide>
      <search className={styles.search}>
        {isWaiting ? (
          <LoaderCircle className={styles.turning} size={16} aria-hidden />
        ) : (
          <Search size={16} aria-hidden />
        )}
        <input
          type="text"
          role="combobox"
          inputMode="search"
          enterKeyHint="go"
          aria-label="Email, name, ID, installation or token"
          aria-autocomplete="list"
          aria-expanded={Boolean(hits?.length)}
          aria-controls={list}
          aria-activedescendant={chosen && `${list}-${hits?.indexOf(chosen)}`}
          placeholder="Email, name, ID, installation or token"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setActive(0);
            setIsEager(false);
          }}
          onKeyDown={onKeyDown}
          autoComplete="off"
          spellCheck={false}
        />
      </search>
      {failure && <FailureNote failure={failure} retry={found.retry} />}
      <p className={hits?.length === 0 ? styles.none : styles.said} role="status">
        {hits && (hits.length === 0 ? "Nothing was found." : counted(hits.length, "result"))}
      </p>
      <div id={list} role="listbox" aria-label="Results" className={styles.hits}>
        {hits?.map((hit, number) => (
          <HitOption
            key={`${hit.customer.id} ${hit.license?.id}`}
            id={`${list}-${number}`}
            hit={hit}
            isChosen={hit === chosen}
            onOpen={() => open(hit)}
          />
        ))}
      </div>
    </Dialog>
  );
}

/** Returns the hits for a text. They are undefined until they arrive, and if the text is empty or still changes. */
function useHits(text: string, isSettled: boolean) {
  const isEmpty = text.trim() === "";
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: SearchDocument,
    variables: { text },
    pause: isEmpty,
    requestPolicy: "cache-and-network",
  });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const isCurrent = isSettled && !isEmpty && !fetching;
  return {
    hits: isCurrent ? data?.search : undefined,
    failure: isCurrent ? failure : null,
    isWaiting: !isEmpty && (fetching || stale || !isSettled),
    retry,
  };
}

function HitOption({
  id,
  hit: { field, customer, license },
  isChosen,
  onOpen,
}: {
  id: string;
  hit: Hit;
  isChosen: boolean;
  onOpen: () => void;
}) {
  const option = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isChosen) option.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  const { email, name, externalId, app } = customer;
  return (
    // The keyboard is handled by the combobox, which keeps the focus.
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above
    <div
      ref={option}
      id={id}
      role="option"
      tabIndex={-1}
      aria-selected={isChosen}
      className={styles.hit}
      onClick={onOpen}
    >
      <Avatar name={name} email={email} />
      <div className={styles.who}>
        <bdi>{name ?? email}</bdi>
        <span>
          {name && <bdi>{email}</bdi>}
          {externalId && <bdi>{externalId}</bdi>}
          <bdi>{app.name}</bdi>
        </span>
        {license && (
          <span>
            <Badge tone={STATUS[license.status].tone}>{STATUS[license.status].label}</Badge>
            <code>{license.installationId}</code>
          </span>
        )}
      </div>
      <span className={styles.field}>{FIELDS[field]}</span>
    </div>
  );
}
