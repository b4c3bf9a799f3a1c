import { Boxes, Plus } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { Link, useLocation } from "wouter";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Empty, Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { counted, date, number } from "../format";
import { AppsDocument, type AppsQuery } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { CreateApp } from "./AppForm";
import styles from "./Apps.module.css";

type AppRow = AppsQuery["apps"]["nodes"][number];

/** The apps that the key can see, with their totals. */
export function Apps() {
  useTitle("Apps");
  const { may, viewer } = useSession();
  const [, navigate] = useLocation();
  const [isCreating, setIsCreating] = useState(false);
  const [starts, setStarts] = useState<readonly (string | null)[]>([null]);
  const [{ data, error }, again] = useQuery({
    query: AppsDocument,
    variables: { after: null, withCustomers: may("READ_CUSTOMERS") },
  });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const create = may("WRITE_CATALOG") && !viewer.isLimitedToApps && (
    <Button kind="primary" onClick={() => setIsCreating(true)}>
      <Plus size={16} aria-hidden /> New app
    </Button>
  );
  return (
    <>
      <header className={styles.header}>
        <div>
          <h1>Apps</h1>
          {data && <p>{counted(data.apps.totalCount, "app")}</p>}
        </div>
        {data && data.apps.totalCount > 0 && create}
      </header>
      {!data && (failure ? <Failed failure={failure} retry={retry} /> : <Loading what="apps" />)}
      {data && failure && <FailureNote failure={failure} retry={retry} />}
      {data?.apps.totalCount === 0 && (
        <Empty icon={<Boxes size={20} />} title="No apps yet">
          <p>
            {viewer.isLimitedToApps
              ? "The apps that your key is limited to were deleted."
              : "An app is a product that you sell licenses for. It has its own customers and licenses."}
          </p>
          {create}
        </Empty>
      )}
      <ul className={styles.grid}>
        {starts.map((after, number) => (
          <AppPage
            key={after ?? "first"}
            after={after}
            isLast={number === starts.length - 1}
            more={(cursor) => setStarts([...starts, cursor])}
          />
        ))}
      </ul>
      {isCreating && (
        <CreateApp
          onClose={() => setIsCreating(false)}
          onCreated={(slug) => {
            setIsCreating(false);
            navigate(paths.app(slug));
          }}
        />
      )}
    </>
  );
}

function AppPage({
  after,
  isLast,
  more,
}: {
  after: string | null;
  isLast: boolean;
  more: (cursor: string) => void;
}) {
  const { may } = useSession();
  const [{ data, error }, again] = useQuery({
    query: AppsDocument,
    variables: { after, withCustomers: may("READ_CUSTOMERS") },
  });
  const failure = useFailure(error);
  if (!data) {
    if (after === null) return null;
    return (
      <li className={styles.more}>
        {failure ? <FailureNote failure={failure} retry={() => again()} /> : <Loading what="more apps" />}
      </li>
    );
  }
  const { nodes, pageInfo } = data.apps;
  return (
    <>
      {nodes.map((app) => (
        <AppCard key={app.id} app={app} />
      ))}
      {isLast && pageInfo.hasNextPage && pageInfo.endCursor && (
        <li className={styles.more}>
          <Button onClick={() => more(pageInfo.endCursor ?? "")}>Show more apps</Button>
        </li>
      )}
    </>
  );
}

function AppCard({ app }: { app: AppRow }) {
  return (
    <li className={styles.card}>
      <h2>
        <Link to={paths.app(app.slug)}>
          <bdi>{app.name}</bdi>
        </Link>
      </h2>
      <code className={styles.slug}>{app.slug}</code>
      <p className={styles.description}>{app.description}</p>
      <dl className={styles.counts}>
        {app.customers && (
          <div>
            <dt>Customers</dt>
            <dd>{number(app.customers.totalCount)}</dd>
          </div>
        )}
        <div>
          <dt>Licenses</dt>
          <dd>{number(app.licenses.totalCount)}</dd>
        </div>
        <div>
          <dt>Active</dt>
          <dd>{number(app.active.totalCount)}</dd>
        </div>
      </dl>
      <p className={styles.since}>Created {date(app.createdAt)}</p>
    </li>
  );
}
