import { Link } from "wouter";
import { Tab, Tabs } from "../design/Tabs";
import type { AppSummaryFragment } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./AppHeader.module.css";
import { AppSwitcher } from "./AppSwitcher";

/** An app's name and the tabs to its views. */
export function AppHeader({ app }: { app: AppSummaryFragment }) {
  const { may } = useSession();
  return (
    <header className={styles.header}>
      <div className={styles.crumbs}>
        <Link to={paths.apps()}>Apps</Link>
        <span aria-hidden>/</span>
        <AppSwitcher slug={app.slug} name={app.name} />
      </div>
      <h1>
        <bdi>{app.name}</bdi>
        <code>{app.slug}</code>
      </h1>
      <Tabs label="App">
        <Tab to={paths.app(app.slug)}>Overview</Tab>
        {may("READ_CUSTOMERS") && <Tab to={paths.customers(app.slug)}>Customers</Tab>}
        {may("READ_CUSTOMERS") && <Tab to={paths.licenses(app.slug)}>Licenses</Tab>}
        {may("READ_EVENTS") && <Tab to={paths.appActivity(app.slug)}>Activity</Tab>}
        <Tab to={paths.settings(app.slug)}>Settings</Tab>
      </Tabs>
    </header>
  );
}
