import { ExternalLink, LogOut, Monitor, Moon, Sun, UserRound, WifiOff } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { Link } from "wouter";
import mark from "../mark.svg";
import { chooseTheme, readTheme, type Theme } from "../theme";
import { Badge } from "./design/Badge";
import { Menu } from "./design/Menu";
import { paths } from "./navigation";
import styles from "./Shell.module.css";
import { useSession } from "./session/Session";

const THEMES: readonly { theme: Theme; label: string; icon: ReactNode }[] = [
  { theme: "system", label: "Like the system", icon: <Monitor size={16} aria-hidden /> },
  { theme: "light", label: "Light", icon: <Sun size={16} aria-hidden /> },
  { theme: "dark", label: "Dark", icon: <Moon size={16} aria-hidden /> },
];

/** What surrounds every view: the bar, and whether there is a network. */
export function Shell({ children }: { children: ReactNode }) {
  const { viewer, canWrite, signOut } = useSession();
  const [theme, setTheme] = useState(readTheme);
  const isOffline = useIsOffline();
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
        {!canWrite && <Badge tone="accent">Read only</Badge>}
        <span className={styles.space} />
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
          title={`${viewer.keyKind.toLowerCase()} key ending in ${viewer.keyLast4}`}
        >
          <bdi>{viewer.accountName}</bdi>
          <code>…{viewer.keyLast4}</code>
        </span>
        <Menu
          label="Account"
          icon={<UserRound size={18} aria-hidden />}
          items={[{ label: "Sign out", icon: <LogOut size={16} aria-hidden />, onChoose: signOut }]}
        />
      </header>
      {isOffline && (
        <div className={styles.offline} role="status">
          <WifiOff size={16} aria-hidden />
          You are offline. What you see was read before; nothing you type is lost.
        </div>
      )}
      <main className={styles.main} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

/** A browser without any network says that it is offline, also when the server is on this very machine and answers: so
 *  that is tried. */
function useIsOffline(): boolean {
  const [isOffline, setIsOffline] = useState(false);
  useEffect(() => {
    const look = async () => setIsOffline(!navigator.onLine && !(await answers()));
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

function answers(): Promise<boolean> {
  return fetch(mark, { method: "HEAD", cache: "no-store" }).then(
    () => true,
    () => false,
  );
}
