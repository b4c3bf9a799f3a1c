import { ChartLine } from "lucide-react";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { AppHeader } from "../apps/AppHeader";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Segment } from "../design/Choice";
import forms from "../design/Form.module.css";
import { Empty, Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { counted, date, dateAndTime, fromNow, month, number, period } from "../format";
import { type ListedLicenseFragment, OverviewDocument, type OverviewQuery } from "../graph/graphql";
import { RenewLicense } from "../licenses/RenewLicense";
import { NotFound } from "../NotFound";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { type Curve, curveOf, lastDayBefore, withoutEmptyStart } from "./curve";
import styles from "./Overview.module.css";
import { questionOf, RANGES, type RangeName, useRange } from "./range";

type AppView = NonNullable<OverviewQuery["app"]>;

/** Loaded separately, so that the library for charts is not part of the first load. */
const CurveChart = lazy(() => import("./CurveChart").catch(() => ({ default: NoChart })));

/** How the licenses of an app develop: the curve, what happened this month, and what is next. */
export function Overview({ slug }: { slug: string }) {
  const { may } = useSession();
  const [now] = useState(() => new Date());
  const { range, tier } = useRange();
  const [{ data, error }, again] = useQuery({
    query: OverviewDocument,
    variables: { slug, withCustomers: may("READ_CUSTOMERS"), ...questionOf(range, tier, now) },
  });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const app = data?.app;
  useTitle(app?.name);

  if (!data) return failure ? <Failed failure={failure} retry={retry} /> : <Loading what="the overview" />;
  if (!app) return <NotFound what="app" />;
  return (
    <>
      <AppHeader app={app} />
      {failure && <FailureNote failure={failure} retry={retry} />}
      <div className={styles.panels}>
        <ActiveLicenses app={app} now={now} historySince={data.viewer.historySince} />
        <Months app={app} />
        {app.next && <Next app={app} licenses={app.next.nodes} />}
        <Tiers app={app} />
      </div>
    </>
  );
}

function Panel({ title, id, children }: { title: string; id: string; children: ReactNode }) {
  return (
    <section className={`${styles.panel} ${styles[id] ?? ""}`} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

/** The standing of all licenses, and the curve of those that are active, with the same numbers in a table. */
function ActiveLicenses({ app, now, historySince }: { app: AppView; now: Date; historySince: string }) {
  const { range, tier } = useRange();
  const { standing, curve: statistics } = app;
  const active = tier
    ? (standing.byTier.find((each) => each.tier?.slug === tier)?.active ?? 0)
    : standing.active;
  const curve = curveOf(
    range === "all" ? withoutEmptyStart(statistics) : statistics,
    active,
    historySince,
    now.getTime(),
  );
  const isEmpty = active === 0 && [...curve.past, ...curve.future].every((each) => each.active === 0);
  return (
    <Panel title="Active licenses" id="active">
      <dl className={styles.totals}>
        <Total label="Active" value={standing.active} />
        <Total label="Expiring in 7 days" value={standing.expiringIn7Days} />
        <Total label="Expiring in 30 days" value={standing.expiringIn30Days} />
        <Total label="Expired" value={standing.expired} />
        <Total label="Revoked" value={standing.revoked} />
        <Total label="Never verified" value={standing.neverVerified} />
      </dl>
      <Choices app={app} />
      {isEmpty ? (
        <Empty icon={<ChartLine size={20} />} title="No active licenses in this time">
          <p>The curve begins when the first license is issued.</p>
        </Empty>
      ) : (
        <Suspense fallback={<div className={styles.place} />}>
          <CurveChart curve={curve} label={inWords(curve)} />
        </Suspense>
      )}
      {!isEmpty && (
        <p className={styles.quiet}>
          Dotted: how many stay active if nobody renews. Days are in UTC.
          {curve.since !== null &&
            ` Before ${date(historySince)}, the curve is reconstructed from the licenses that existed then.`}
        </p>
      )}
      <Numbers curve={curve} />
    </Panel>
  );
}

function Total({ label, value }: { label: string; value: number }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{number(value)}</dd>
    </div>
  );
}

/** The choice of the time and of the tier. */
function Choices({ app }: { app: AppView }) {
  const { range, tier, set } = useRange();
  const tiers = app.tiers.nodes;
  return (
    <div className={styles.choices}>
      <fieldset className={`${forms.segments} ${styles.ranges}`}>
        <legend>Time</legend>
        {(Object.keys(RANGES) as RangeName[]).map((name) => (
          <Segment
            key={name}
            name="range"
            label={RANGES[name].label}
            checked={range === name}
            onChange={() => set("range", name)}
          />
        ))}
      </fieldset>
      <select
        aria-label="Tier"
        value={tier ?? ""}
        onChange={(event) => set("tier", event.target.value)}
        className={styles.tier}
      >
        <option value="">All tiers</option>
        {tiers.map((each) => (
          <option key={each.id} value={each.slug}>
            {each.name}
          </option>
        ))}
        {tier && !tiers.some((each) => each.slug === tier) && <option value={tier}>{tier}</option>}
      </select>
    </div>
  );
}

function inWords({ past, now, future }: Curve): string {
  const [first, last] = [past[0], future.at(-1)];
  return [
    "Active licenses:",
    first?.day && `${number(first.active)} on ${date(first.day)},`,
    `${number(now.active)} now`,
    last?.day && `, ${number(last.active)} on ${date(last.day)} if nobody renews`,
  ]
    .filter(Boolean)
    .join(" ")
    .replace(" ,", ",");
}

function NoChart() {
  return <p className={styles.quiet}>The chart could not be loaded. The table has its numbers.</p>;
}

function Numbers({ curve }: { curve: Curve }) {
  return (
    <details className={styles.numbers}>
      <summary>Show numbers</summary>
      <div className={styles.scroll} tabIndex={0} role="region" aria-label="Numbers of the curve">
        <table>
          <thead>
            <tr>
              <th scope="col">Days (UTC)</th>
              <th scope="col">Active at the end</th>
              <th scope="col">Issued</th>
              <th scope="col">Renewed</th>
              <th scope="col">Reinstated</th>
              <th scope="col">Expired</th>
              <th scope="col">Revoked</th>
              <th scope="col">Deleted</th>
            </tr>
          </thead>
          <tbody>
            {curve.intervals.map((each) => (
              <tr key={each.from}>
                <th scope="row">
                  {period(each.from, lastDayBefore(each.until))}
                  {each.isFuture && <span className={styles.note}> expected</span>}
                  {curve.since !== null && each.isReconstructed && (
                    <span className={styles.note}> reconstructed</span>
                  )}
                </th>
                <td>{number(each.active)}</td>
                <td>{number(each.issued)}</td>
                <td>{number(each.renewed)}</td>
                <td>{number(each.reinstated)}</td>
                <td>{number(each.expired)}</td>
                <td>{number(each.revoked)}</td>
                <td>{number(each.deleted)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

const CHANGES = [
  ["issued", "Issued"],
  ["renewed", "Renewed"],
  ["reinstated", "Reinstated"],
  ["expired", "Expired"],
  ["revoked", "Revoked"],
  ["deleted", "Deleted"],
  ["customersAdded", "Customers added"],
] as const;

/** What happened this month, next to the month before. */
function Months({ app }: { app: AppView }) {
  const [before, current] = app.months;
  if (!before || !current) return null;
  // If the key cannot read customers, their number is not known.
  const known = CHANGES.filter(([change]) => current[change] !== undefined);
  return (
    <Panel title="This month" id="months">
      <table className={styles.months}>
        <thead>
          <tr>
            <td />
            <th scope="col">{month(current.from)}</th>
            <th scope="col">{month(before.from)}</th>
          </tr>
        </thead>
        <tbody>
          {known.map(([change, label]) => (
            <tr key={change}>
              <th scope="row">{label}</th>
              <td>{number(current[change] ?? 0)}</td>
              <td>{number(before[change] ?? 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

/** The active licenses that expire next. */
function Next({ app, licenses }: { app: AppView; licenses: readonly ListedLicenseFragment[] }) {
  const { may } = useSession();
  const [renewing, setRenewing] = useState<ListedLicenseFragment | null>(null);
  return (
    <Panel title="Expires next" id="next">
      {licenses.length === 0 ? (
        <p className={styles.quiet}>No active license expires.</p>
      ) : (
        <ul className={styles.rows}>
          {licenses.map((license) => (
            <li key={license.id}>
              <div className={styles.what}>
                <Link to={paths.customer(app.slug, license.customer.id)}>
                  <bdi>{license.customer.name ?? license.customer.email}</bdi>
                </Link>
                <span className={styles.note}>
                  {license.tier ? <bdi>{license.tier.name}</bdi> : "No tier"}
                  {license.expiresAt && (
                    <>
                      {", expires "}
                      <time dateTime={license.expiresAt} title={dateAndTime(license.expiresAt)}>
                        {fromNow(license.expiresAt)}
                      </time>
                    </>
                  )}
                </span>
              </div>
              {may("WRITE_LICENSES") && (
                <Button
                  size="small"
                  aria-label={`Renew license of ${license.customer.name ?? license.customer.email}`}
                  onClick={() => setRenewing(license)}
                >
                  Renew
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
      {renewing && <RenewLicense license={renewing} onClose={() => setRenewing(null)} />}
    </Panel>
  );
}

/** How many active licenses each tier has. */
function Tiers({ app }: { app: AppView }) {
  const { active, byTier } = app.standing;
  return (
    <Panel title="Tiers" id="tiers">
      {byTier.length === 0 ? (
        <p className={styles.quiet}>No active licenses.</p>
      ) : (
        <ul className={styles.rows}>
          {byTier.map(({ tier, active: ofTier }) => (
            <li key={tier?.id ?? ""}>
              <div className={styles.what}>
                {tier ? <bdi>{tier.name}</bdi> : "No tier"}
                <svg className={styles.bar} width="100%" height="6" aria-hidden>
                  <rect width="100%" height="6" rx="3" className={styles.ground} />
                  <rect width={`${(100 * ofTier) / Math.max(active, 1)}%`} height="6" rx="3" />
                </svg>
              </div>
              <span className={styles.count} title={counted(ofTier, "active license")}>
                {number(ofTier)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
