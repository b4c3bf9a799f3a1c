import { FileKey2, Plus } from "lucide-react";
import { useEffect, useState } from "react";
import { useQuery } from "urql";
import { useSearchParams } from "wouter";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Segment } from "../design/Choice";
import forms from "../design/Form.module.css";
import { Empty, FailureNote, Loading } from "../design/States";
import { number } from "../format";
import { type CustomerQuery, type LicenseStatus, LicensesDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import { IssueLicense } from "./IssueLicense";
import { LicenseRow } from "./LicenseRow";
import styles from "./Licenses.module.css";
import { useWanted } from "./useWanted";

type CustomerView = NonNullable<CustomerQuery["customer"]>;
type LicensePage = CustomerView["licenses"];

const STATUSES: readonly { status: LicenseStatus | null; label: string }[] = [
  { status: null, label: "All" },
  { status: "ACTIVE", label: "Active" },
  { status: "EXPIRED", label: "Expired" },
  { status: "REVOKED", label: "Revoked" },
];

/** A customer's licenses, newest first, with their actions. */
export function Licenses({ customer }: { customer: CustomerView }) {
  const { may } = useSession();
  const [isIssuing, setIsIssuing] = useState(false);
  const [status, setStatus] = useStatus();
  const [starts, setStarts] = useState<readonly string[]>([]);
  const { totalCount } = customer.licenses;
  const issue = may("WRITE_LICENSES") && (
    <Button kind="primary" onClick={() => setIsIssuing(true)}>
      <Plus size={16} aria-hidden /> Issue license
    </Button>
  );
  const more = (cursor: string) => setStarts([...starts, cursor]);
  return (
    <section className={styles.licenses} aria-labelledby="licenses">
      <header className={styles.header}>
        <h2 id="licenses">
          Licenses <span>{number(totalCount)}</span>
        </h2>
        {(totalCount > 1 || status !== null) && (
          <fieldset className={`${forms.segments} ${styles.statuses}`}>
            <legend>Status</legend>
            {STATUSES.map((each) => (
              <Segment
                key={each.label}
                name="status"
                label={each.label}
                checked={status === each.status}
                onChange={() => {
                  setStatus(each.status);
                  setStarts([]);
                }}
              />
            ))}
          </fieldset>
        )}
        {totalCount > 0 && issue}
      </header>
      {totalCount === 0 ? (
        <Empty icon={<FileKey2 size={20} />} title="No licenses yet">
          <p>A license lets the customer use the app on one installation.</p>
          {issue}
        </Empty>
      ) : (
        <div className={styles.table}>
          <div className={styles.head} aria-hidden>
            <span>Status</span>
            <span>Tier and features</span>
            <span>License and installation</span>
            <span>Expires</span>
          </div>
          <ul className={styles.list}>
            {status === null ? (
              <Rows page={customer.licenses} customer={customer} isLast={starts.length === 0} more={more} />
            ) : (
              <MoreLicenses
                key={status}
                customer={customer}
                status={status}
                after={null}
                isLast={starts.length === 0}
                more={more}
              />
            )}
            {starts.map((after, number) => (
              <MoreLicenses
                key={`${status} ${after}`}
                customer={customer}
                status={status}
                after={after}
                isLast={number === starts.length - 1}
                more={more}
              />
            ))}
          </ul>
        </div>
      )}
      {isIssuing && <IssueLicense customer={customer} onClose={() => setIsIssuing(false)} />}
    </section>
  );
}

/** The status that the list is filtered by. The status is in the URL, so that the filtered list can be shared. */
function useStatus(): [LicenseStatus | null, (status: LicenseStatus | null) => void] {
  const [parameters, setParameters] = useSearchParams();
  const given = parameters.get("status")?.toUpperCase();
  const status = STATUSES.find((each) => each.status === given)?.status ?? null;
  const setStatus = (next: LicenseStatus | null) =>
    setParameters(
      (before) => {
        const after = new URLSearchParams(before);
        if (next) after.set("status", next.toLowerCase());
        else after.delete("status");
        return after;
      },
      { replace: true, state: history.state },
    );
  return [status, setStatus];
}

interface PageProps {
  customer: CustomerView;
  isLast: boolean;
  more: (cursor: string) => void;
}

/** A page of licenses that is not part of the `Customer` query: a later page, or any page of a list that is filtered by
 *  status. */
function MoreLicenses({
  status,
  after,
  ...props
}: PageProps & { status: LicenseStatus | null; after: string | null }) {
  const [{ data, error }, again] = useQuery({
    query: LicensesDocument,
    variables: { customerId: props.customer.id, after, filter: status && { status } },
  });
  const failure = useFailure(error);
  const page = data?.customer?.licenses;
  if (page) return <Rows page={page} {...props} />;
  return (
    <li className={styles.more}>
      {failure ? (
        <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />
      ) : (
        <Loading what="licenses" />
      )}
    </li>
  );
}

function Rows({ page, customer, isLast, more }: PageProps & { page: LicensePage }) {
  const { nodes, pageInfo, totalCount } = page;
  const wanted = useWanted();
  const next = isLast && pageInfo.hasNextPage ? pageInfo.endCursor : null;
  // The license that the URL points to may be on a later page.
  useEffect(() => {
    if (wanted?.startsWith("lic_") && next && !document.getElementById(wanted)) more(next);
  }, [wanted, next, more]);
  return (
    <>
      {nodes.map((license) => (
        <LicenseRow key={license.id} license={license} customer={customer} />
      ))}
      {totalCount === 0 && <li className={styles.none}>No licenses have this status.</li>}
      {isLast && pageInfo.hasNextPage && (
        <li className={styles.more}>
          <Button onClick={() => more(pageInfo.endCursor ?? "")}>Show more licenses</Button>
        </li>
      )}
    </>
  );
}
