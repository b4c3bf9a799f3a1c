import { useCallback, useEffect } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { useFailure } from "../client/useFailure";
import { Badge } from "../design/Badge";
import { reasonOf, useToast } from "../design/Toasts";
import { date, dateAndTime, fromNow } from "../format";
import {
  type AppFeaturesFragment,
  AppLicensesDocument,
  type LicenseFilter,
  type LicenseOrder,
  type ListedLicenseFragment,
} from "../graph/graphql";
import { Head, LongTable, type PagePart, PageRows } from "../lists/LongTable";
import { paths } from "../navigation";
import { LicenseMenu } from "./LicenseMenu";
import styles from "./LicenseTable.module.css";
import type { LicenseQuestion } from "./question";
import { useSelection } from "./selection";
import { useLicenseChanges } from "./useLicenseChanges";
import { STATUS } from "./words";

const HEIGHTS = { wide: 60, narrow: 124 };

interface Variables {
  slug: string;
  filter: LicenseFilter;
  orderBy: LicenseOrder;
  countAtMost: number | null;
}

/** What rows show about the app besides the license. */
export type TableApp = { slug: string; name: string } & AppFeaturesFragment;

/** The licenses of all pages that have been requested. */
export function LicenseTable({
  app,
  variables,
  address,
  question,
  total,
  refreshes,
}: {
  app: TableApp;
  variables: Variables;
  address: string;
  question: LicenseQuestion;
  total: number;
  /** How often licenses were changed without the cache, so that the pages are loaded again. */
  refreshes: number;
}) {
  return (
    <LongTable
      label="Licenses"
      address={address}
      total={total}
      isCounted={variables.countAtMost === null || total < variables.countAtMost}
      heights={HEIGHTS}
      rowClass={styles.row}
      head={
        <>
          <div role="columnheader" aria-label="Selected" />
          <Head label="Status" />
          <Head label="Tier" />
          <Head label="Customer" />
          <Head label="Installation" />
          <Head question={question} order="expires_at" label="Expires" />
          <Head question={question} order="last_verified_at" label="Last verified" />
          <Head label="Actions" />
        </>
      }
      part={(part) => <Page part={part} app={app} variables={variables} refreshes={refreshes} />}
    />
  );
}

function Page({
  part,
  app,
  variables,
  refreshes,
}: {
  part: PagePart;
  app: TableApp;
  variables: Variables;
  refreshes: number;
}) {
  const { after } = part.page;
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: AppLicensesDocument,
    variables: {
      ...variables,
      after,
      isFirst: after === null,
      countAtMost: after === null ? variables.countAtMost : null,
    },
  });
  useEffect(() => {
    if (refreshes > 0) again({ requestPolicy: "network-only" });
  }, [refreshes, again]);
  const cells = useCallback((license: ListedLicenseFragment) => <Cells license={license} app={app} />, [app]);
  return (
    <PageRows
      part={part}
      connection={data?.app?.licenses}
      isCurrent={!fetching || stale}
      failure={useFailure(error)}
      retry={() => again({ requestPolicy: "network-only" })}
      rowClass={styles.row}
      cells={cells}
      awaited={AWAITED}
    />
  );
}

function Cells({ license, app }: { license: ListedLicenseFragment; app: TableApp }) {
  const say = useToast();
  const selection = useSelection();
  // A row has no room for errors.
  const change = useLicenseChanges(license, (outcome) => say({ text: reasonOf(outcome) }));
  const { customer, tier, trial, installationId, expiresAt, lastVerifiedAt } = license;
  const { tone, label } = STATUS[license.status];
  return (
    <>
      <div role="cell" className={styles.check}>
        {selection && (
          <input
            type="checkbox"
            aria-label={`Select license for ${installationId}`}
            checked={selection.has(license.id)}
            onChange={() => selection.toggle(license)}
          />
        )}
      </div>
      <div role="cell" className={styles.status}>
        <Badge tone={tone}>{label}</Badge>
      </div>
      <div role="cell" className={styles.tier}>
        {tier ? <bdi title={tier.name}>{tier.name}</bdi> : <span className={styles.none}>No tier</span>}
        {trial && <span className={styles.none}> Trial</span>}
      </div>
      <div role="cell" className={styles.customer}>
        <Link to={paths.customer(app.slug, customer.id)}>
          <bdi>{customer.name ?? customer.email}</bdi>
        </Link>
        {customer.name && <bdi className={styles.second}>{customer.email}</bdi>}
      </div>
      <div role="cell" className={styles.installation} title={installationId}>
        <code>{installationId}</code>
      </div>
      <div role="cell" className={styles.expires} title={expiresAt ? dateAndTime(expiresAt) : undefined}>
        {expiresAt ? date(expiresAt) : "Never"}
        {expiresAt && license.status !== "REVOKED" && (
          <span className={styles.second}>{fromNow(expiresAt)}</span>
        )}
      </div>
      <div
        role="cell"
        className={styles.verified}
        title={lastVerifiedAt ? dateAndTime(lastVerifiedAt) : undefined}
      >
        {lastVerifiedAt ? fromNow(lastVerifiedAt) : <span className={styles.none}>Never</span>}
      </div>
      <div role="cell" className={styles.actions}>
        <LicenseMenu license={license} customer={{ email: customer.email, app }} change={change} isOnly />
      </div>
    </>
  );
}

const AWAITED = (
  <>
    <div role="cell" className={styles.check} />
    <div role="cell" className={styles.status}>
      <span className={styles.bone} />
    </div>
    <div role="cell" className={styles.tier} />
    <div role="cell" className={styles.customer}>
      <span className={styles.bone} />
    </div>
    <div role="cell" className={styles.installation} />
    <div role="cell" className={styles.expires} />
    <div role="cell" className={styles.verified} />
    <div role="cell" className={styles.actions} />
  </>
);
