import { FileKey2, Plus } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Empty, FailureNote, Loading } from "../design/States";
import { number } from "../format";
import { type CustomerQuery, type LicenseStatus, LicensesDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import { IssueLicense } from "./IssueLicense";
import { LicenseCard } from "./LicenseCard";
import styles from "./Licenses.module.css";

type CustomerView = NonNullable<CustomerQuery["customer"]>;
type LicensePage = CustomerView["licenses"];

const STATUSES: readonly { status: LicenseStatus | null; label: string }[] = [
  { status: null, label: "All" },
  { status: "ACTIVE", label: "Active" },
  { status: "EXPIRED", label: "Expired" },
  { status: "REVOKED", label: "Revoked" },
];

/** A customer's licenses, newest first, and what can be done with them. */
export function Licenses({ customer }: { customer: CustomerView }) {
  const { canWrite } = useSession();
  const [isIssuing, setIsIssuing] = useState(false);
  const [status, setStatus] = useState<LicenseStatus | null>(null);
  const [starts, setStarts] = useState<readonly string[]>([]);
  const { totalCount } = customer.licenses;
  const issue = canWrite && (
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
        {totalCount > 1 && (
          <fieldset className={styles.statuses}>
            <legend>Status</legend>
            {STATUSES.map((each) => (
              <label key={each.label}>
                <input
                  type="radio"
                  name="status"
                  checked={status === each.status}
                  onChange={() => {
                    setStatus(each.status);
                    setStarts([]);
                  }}
                />
                <span>{each.label}</span>
              </label>
            ))}
          </fieldset>
        )}
        {totalCount > 0 && issue}
      </header>
      {totalCount === 0 ? (
        <Empty icon={<FileKey2 size={20} />} title="No licenses yet">
          <p>A license lets the customer run the app on one installation.</p>
          {issue}
        </Empty>
      ) : (
        <ul className={styles.list}>
          {status === null ? (
            <Cards page={customer.licenses} customer={customer} isLast={starts.length === 0} more={more} />
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
      )}
      {isIssuing && <IssueLicense customer={customer} onClose={() => setIsIssuing(false)} />}
    </section>
  );
}

interface PageProps {
  customer: CustomerView;
  isLast: boolean;
  more: (cursor: string) => void;
}

/** A page that the customer's own query did not bring along. */
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
  if (page) return <Cards page={page} {...props} />;
  return (
    <li>
      {failure ? (
        <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />
      ) : (
        <Loading what="licenses" />
      )}
    </li>
  );
}

function Cards({ page, customer, isLast, more }: PageProps & { page: LicensePage }) {
  const { nodes, pageInfo, totalCount } = page;
  return (
    <>
      {nodes.map((license) => (
        <LicenseCard key={license.id} license={license} email={customer.email} />
      ))}
      {totalCount === 0 && <li className={styles.none}>No license has this status.</li>}
      {isLast && pageInfo.hasNextPage && (
        <li className={styles.more}>
          <Button onClick={() => more(pageInfo.endCursor ?? "")}>Show more licenses</Button>
        </li>
      )}
    </>
  );
}
