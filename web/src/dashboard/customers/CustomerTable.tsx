import { useCallback } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { useFailure } from "../client/useFailure";
import { Avatar } from "../design/Avatar";
import { date, number } from "../format";
import {
  type CustomerFilter,
  type CustomerOrder,
  type CustomerRowFragment,
  CustomersDocument,
} from "../graph/graphql";
import { Head, LongTable, type PagePart, PageRows } from "../lists/LongTable";
import { paths } from "../navigation";
import styles from "./CustomerTable.module.css";
import type { CustomerQuestion } from "./question";

const HEIGHTS = { wide: 60, narrow: 76 };

/** The history state of a customer's view that was opened from the list. The link to the list then goes back in the
 *  history. */
const FROM_LIST = { fromList: true };

interface Variables {
  slug: string;
  filter: CustomerFilter;
  orderBy: CustomerOrder;
  countAtMost: number | null;
}

/** The customers of all pages that have been requested. */
export function CustomerTable({
  variables,
  address,
  question,
  total,
}: {
  variables: Variables;
  address: string;
  question: CustomerQuestion;
  total: number;
}) {
  return (
    <LongTable
      label="Customers"
      address={address}
      total={total}
      isCounted={variables.countAtMost === null || total < variables.countAtMost}
      heights={HEIGHTS}
      rowClass={styles.row}
      head={
        <>
          <Head question={question} order="email" label="Email" with={{ order: "name", label: "Name" }} />
          <Head label="External ID" />
          <Head label="Licenses" />
          <Head question={question} order="created_at" label="Added" />
        </>
      }
      part={(part) => <Page part={part} variables={variables} />}
    />
  );
}

function Page({ part, variables }: { part: PagePart; variables: Variables }) {
  const { slug } = variables;
  const { after } = part.page;
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: CustomersDocument,
    variables: {
      ...variables,
      after,
      isFirst: after === null,
      countAtMost: after === null ? variables.countAtMost : null,
    },
  });
  const cells = useCallback(
    (customer: CustomerRowFragment) => <Cells customer={customer} slug={slug} />,
    [slug],
  );
  return (
    <PageRows
      part={part}
      connection={data?.app?.customers}
      isCurrent={!fetching || stale}
      failure={useFailure(error)}
      retry={() => again({ requestPolicy: "network-only" })}
      rowClass={styles.row}
      cells={cells}
      awaited={AWAITED}
    />
  );
}

function Cells({ customer, slug }: { customer: CustomerRowFragment; slug: string }) {
  const { email, name, externalId, licenses, active, createdAt } = customer;
  return (
    <>
      <div role="cell" className={styles.who}>
        <Avatar name={name} email={email} />
        <span className={styles.names}>
          <Link to={paths.customer(slug, customer.id)} state={FROM_LIST}>
            <bdi>{name ?? email}</bdi>
          </Link>
          {name && <bdi className={styles.email}>{email}</bdi>}
        </span>
      </div>
      <div role="cell" className={styles.external}>
        {externalId ? <bdi>{externalId}</bdi> : <span className={styles.none}>–</span>}
      </div>
      <div role="cell" className={styles.licenses}>
        {licenses.totalCount === 0 ? (
          <span className={styles.none}>None</span>
        ) : (
          <span>
            <strong>{number(active.totalCount)}</strong> active
            <span className={styles.none}> of {number(licenses.totalCount)}</span>
          </span>
        )}
      </div>
      <div role="cell" className={styles.added}>
        {date(createdAt)}
      </div>
    </>
  );
}

const AWAITED = (
  <>
    <div role="cell" className={styles.who}>
      <span className={styles.circle} />
      <span className={styles.bone} />
    </div>
    <div role="cell" />
    <div role="cell" />
    <div role="cell" />
  </>
);
