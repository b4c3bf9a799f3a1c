import { Link, useRoute } from "wouter";
import type { AppSummaryFragment } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./AppHeader.module.css";

/** An app's name and the tabs to its views. */
export function AppHeader({ app }: { app: AppSummaryFragment }) {
  const { may } = useSession();
  return (
    <header className={styles.header}>
      <p className={styles.crumbs}>
        <Link to={paths.apps()}>Apps</Link>
      </p>
      <h1>
        <bdi>{app.name}</bdi>
        <code>{app.slug}</code>
      </h1>
      <nav className={styles.tabs} aria-label="App">
        {may("READ_CUSTOMERS") && <Tab to={paths.customers(app.slug)}>Customers</Tab>}
        <Tab to={paths.settings(app.slug)}>Settings</Tab>
      </nav>
    </header>
  );
}

function Tab({ to, children }: { to: string; children: string }) {
  const [isHere] = useRoute(to);
  return (
    <Link to={to} aria-current={isHere ? "page" : undefined}>
      {children}
    </Link>
  );
}
