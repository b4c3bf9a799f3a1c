import { ChevronsUpDown } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useClient } from "urql";
import { Link, useLocation, useRoute } from "wouter";
import { type Failure, failureOf } from "../client/failures";
import { FailureNote, Loading } from "../design/States";
import { useCloseOutside } from "../design/useCloseOutside";
import { AppNamesDocument, type AppSummaryFragment } from "../graph/graphql";
import { paths } from "../navigation";
import styles from "./AppSwitcher.module.css";

/** The views that every app has. Anything below them, such as a customer, belongs to one app. */
const VIEWS: Readonly<Record<string, (slug: string) => string>> = {
  customers: paths.customers,
  licenses: paths.licenses,
  activity: paths.appActivity,
  settings: paths.settings,
};

/** A button that opens a list of all apps, with a filter. A link leads to the view of another app that is shown of this
 *  one. `name` is the visible text of the button, if there is no other text with the app's name. */
export function AppSwitcher({ slug, name }: { slug: string; name?: string }) {
  const [isOpen, setIsOpen] = useState(false);
  const id = useId();
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useCloseOutside(root, isOpen, () => setIsOpen(false));

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes the list from everywhere inside
    <div
      ref={root}
      className={styles.switcher}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !isOpen) return;
        event.preventDefault();
        setIsOpen(false);
        button.current?.focus();
      }}
    >
      <button
        ref={button}
        type="button"
        className={styles.button}
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        aria-label={name ? `${name}: switch app` : "Switch app"}
        onClick={() => setIsOpen(!isOpen)}
      >
        {name && <bdi>{name}</bdi>}
        <ChevronsUpDown size={14} aria-hidden />
      </button>
      {isOpen && (
        <div id={id} className={styles.list}>
          <Choices slug={slug} />
        </div>
      )}
    </div>
  );
}

function Choices({ slug }: { slug: string }) {
  const { apps, failure } = useAllApps();
  const [text, setText] = useState("");
  const [, params] = useRoute("/apps/:slug/:view/*?");
  const [, navigate] = useLocation();
  const list = useRef<HTMLDivElement>(null);
  const pathOf = VIEWS[params?.view ?? ""] ?? paths.app;
  const asked = text.trim().toLocaleLowerCase();
  const found = apps?.filter((each) => `${each.name} ${each.slug}`.toLocaleLowerCase().includes(asked));

  function move(event: KeyboardEvent) {
    const all = [...(list.current?.querySelectorAll<HTMLElement>("input, a") ?? [])];
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const first = found?.[0];
    if (by) {
      all.at((all.indexOf(document.activeElement as HTMLElement) + by) % all.length)?.focus();
    } else if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
      if (first) navigate(pathOf(first.slug));
    } else return;
    event.preventDefault();
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys move between the field and the links inside
    <div ref={list} onKeyDown={move}>
      <input
        type="text"
        aria-label="Filter apps"
        placeholder="Filter apps"
        value={text}
        onChange={(event) => setText(event.target.value)}
        autoComplete="off"
        spellCheck={false}
        autoFocus
      />
      {failure && <FailureNote failure={failure} />}
      {!apps && !failure && <Loading what="apps" />}
      {found && (
        <ul aria-label="Apps">
          {found.map((each) => (
            <li key={each.id}>
              <Link to={pathOf(each.slug)} aria-current={each.slug === slug ? "true" : undefined}>
                <bdi>{each.name}</bdi>
                <code>{each.slug}</code>
              </Link>
            </li>
          ))}
        </ul>
      )}
      <p role="status">{found?.length === 0 && "No app matches."}</p>
    </div>
  );
}

/** Returns all apps that the key can see, by name, as soon as all pages are loaded. */
function useAllApps() {
  const client = useClient();
  const [apps, setApps] = useState<readonly AppSummaryFragment[] | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(() => {
    let isShown = true;
    void (async () => {
      const all: AppSummaryFragment[] = [];
      for (let after: string | null = null, hasMore = true; hasMore && isShown; ) {
        const { data, error } = await client.query(AppNamesDocument, { after }).toPromise();
        if (error || !data) {
          setFailure(error ? failureOf(error) : { kind: "unavailable" });
          return;
        }
        all.push(...data.apps.nodes);
        after = data.apps.pageInfo.endCursor;
        hasMore = data.apps.pageInfo.hasNextPage;
      }
      setApps(all);
    })();
    return () => {
      isShown = false;
    };
  }, [client]);
  return { apps, failure };
}
