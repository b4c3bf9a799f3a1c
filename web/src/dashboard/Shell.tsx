import { ExternalLink, LogOut, Monitor, Moon, Sun, UserRound, WifiOff } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useRoute } from "wouter";
import mark from "../mark.svg";
import { chooseTheme, readTheme, type Theme } from "../theme";
import { Badge } from "./design/Badge";
import { Menu } from "./design/Menu";
import { Toasts } from "./design/Toasts";
import type { Scope } from "./graph/graphql";
import { KINDS, nameOf } from "./keys/words";
import { paths } from "./navigation";
import styles from "./Shell.module.css";
import { FindAnything } from "./search/FindAnything";
import { useSession } from "./session/Session";
import { leave } from "./unsaved";

const THEMES: readonly { theme: Theme; label: string; icon: ReactNode }[] = [
  { theme: "system", label: "Same as system", icon: <Monitor size={16} aria-hidden /> },
  { theme: "light", label: "Light", icon: <Sun size={16} aria-hidden /> },
  { theme: "dark", label: "Dark", icon: <Moon size={16} aria-hidden /> },
];

/** The scopes that let the user change something in the dashboard. */
const CHANGES: readonly Scope[] = [
  "WRITE_CUSTOMERS",
  "WRITE_LICENSES",
  "WRITE_CATALOG",
  "ROTATE_SIGNING_KEYS",
  "MANAGE_KEYS",
];

/** The frame around every view: the top bar, and a notice if the browser is offline. */
export function Shell({ children }: { children: ReactNode }) {
  const { viewer, may, signOut } = useSession();
  const [theme, setTheme] = useState(readTheme);
  const isOffline = useIsOffline();
  const [isAtKeys] = useRoute("/keys/*?");
  return (
    <>
      <button
        type="button"
        className={styles.skip}
        onClick={() => document.querySelector<HTMLElement>("main")?.focus()}
      >
        Skip to content
      </button>
      <header className={styles.bar}>
        <Link to={paths.apps()} className={styles.brand}>
          <img src={mark} alt="" width={26} height={26} />
          <span>Licensegraph</span>
        </Link>
        {!CHANGES.some(may) && <Badge tone="accent">Read only</Badge>}
        <Toasts />
        {may("READ_CUSTOMERS") && <FindAnything />}
        {may("MANAGE_KEYS") && (
          <Link to={paths.keys()} className={styles.link} aria-current={isAtKeys ? "page" : undefined}>
            Keys
          </Link>
        )}
        <a className={styles.link} href={new URL("graphql", document.baseURI).href}>
          GraphiQL <ExternalLink size={14} aria-hidden />
        </a>
        <Menu
          label="Theme"
          icon={THEMES.find((each) => each.theme === theme)?.icon}
          items={THEMES.map((each) => ({
            label: each.label,
            icon: each.icon,
            onChoose: () => {
              chooseTheme(each.theme);
              setTheme(each.theme);
            },
          }))}
        />
        <span
          className={styles.viewer}
          title={`${viewer.accountName}, ${KINDS[viewer.keyKind].label.toLowerCase()} key ending in ${viewer.keyLast4}`}
        >
          <bdi>{viewer.accountName}</bdi>
          <bdi className={styles.key}>{nameOf({ name: viewer.keyName, kind: viewer.keyKind })}</bdi>
        </span>
        <Menu
          label="Account"
          icon={<UserRound size={18} aria-hidden />}
          items={[
            { label: "Sign out", icon: <LogOut size={16} aria-hidden />, onChoose: () => leave(signOut) },
          ]}
        />
      </header>
      {isOffline && (
        <div className={styles.offline} role="status">
          <WifiOff size={16} aria-hidden />
          You are offline. What you see may be out of date. Nothing you type is lost.
        </div>
      )}
      <main className={styles.main} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

/** Returns true if the browser is offline and the server cannot be reached. A browser without a network connection
 *  reports that it is offline, even if the server runs on the same machine. This hook therefore also sends a
 *  request. */
function useIsOffline(): boolean {
  const [isOffline, setIsOffline] = useState(false);
  useEffect(() => {
    const look = async () => setIsOffline(!navigator.onLine && !(await serverResponds()));
    void look();
    window.addEventListener("online", look);
    window.addEventListener("offline", look);
    return () => {
      window.removeEventListener("online", look);
      window.removeEventListener("offline", look);
    };
  }, []);
  return isOffline;
}

function serverResponds(): Promise<boolean> {
  return fetch(mark, { method: "HEAD", cache: "no-store" }).then(
    () => true,
    () => false,
  );
}
