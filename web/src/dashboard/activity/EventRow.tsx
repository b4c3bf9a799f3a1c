import { ArrowRight } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { Button } from "../design/Button";
import { dateAndTime, fromNow } from "../format";
import { type ActivityEventFragment, CustomerNameDocument } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./Activity.module.css";
import { State } from "./State";
import { Value } from "./Value";
import {
  type Change,
  changesOf,
  isDeletion,
  isErased,
  nameOfActor,
  nameOfSubject,
  remarkOf,
  titleOf,
} from "./words";

/** One event: what happened to what, who did it, when, why, and what changed. */
export function EventRow({
  event,
  row,
  appSlug,
  within,
  isOld,
}: {
  event: ActivityEventFragment;
  /** The index of the row in the whole list. */
  row: number;
  appSlug: string;
  /** True while the rows for another filter are loading. */
  isOld: boolean;
  /** The id of the app or customer whose events are listed, or of the only object whose events are listed. */
  within: string;
}) {
  const [isOpen, setIsOpen] = useState(false);
  const { createdAt } = event;
  const title = titleOf(event.type);
  const by = nameOfActor(event.actor);
  const remark = remarkOf(event);
  const changes = changesOf(event);
  return (
    <li data-row={row} className={`${styles.event} ${isOld ? styles.old : ""}`}>
      <div className={styles.what}>
        <p className={styles.sentence}>
          <strong>{title}</strong>
          {by && (
            <>
              {" by "}
              <bdi>{by}</bdi>
            </>
          )}
          {", "}
          <time dateTime={createdAt} title={dateAndTime(createdAt)}>
            {fromNow(createdAt)}
          </time>
          {remark && (
            <>
              {": "}
              <bdi>{remark}</bdi>
            </>
          )}
        </p>
        {event.subjectId !== within && <Subject event={event} appSlug={appSlug} within={within} />}
        {changes.length > 0 && (
          <dl className={styles.changes}>
            {changes.map((change) => (
              <ChangedField
                key={change.label}
                change={change}
                isErased={isErased(event, change.field)}
                appSlug={appSlug}
              />
            ))}
          </dl>
        )}
        {event.erased && <p className={styles.quiet}>The personal data in this event was erased.</p>}
      </div>
      <Button
        size="small"
        aria-label={`Show state: ${title}, ${dateAndTime(createdAt)}`}
        onClick={() => setIsOpen(true)}
      >
        Show state
      </Button>
      {isOpen && <State event={event} onClose={() => setIsOpen(false)} />}
    </li>
  );
}

/** What an event is about, with a link to the customer if the list is about more than that. */
function Subject({
  event,
  appSlug,
  within,
}: {
  event: ActivityEventFragment;
  appSlug: string;
  within: string;
}) {
  const { may } = useSession();
  const { subjectType, subjectId, data } = event;
  const name = nameOfSubject(event);
  const customer = subjectType === "CUSTOMER" ? subjectId : data.customer_id;
  const isLinked =
    typeof customer === "string" && customer !== within && !isDeletion(event) && may("READ_CUSTOMERS");
  const shown = subjectType === "LICENSE" ? <code>{name}</code> : <bdi>{name}</bdi>;
  return (
    <p className={styles.subject}>
      {isLinked ? <Link to={paths.customer(appSlug, customer)}>{shown}</Link> : shown}
    </p>
  );
}

function ChangedField({ change, isErased, appSlug }: { change: Change; isErased: boolean; appSlug: string }) {
  const { may } = useSession();
  const { field, label, from, to } = change;
  const show = (value: string | null) =>
    field === "customer_id" && value !== null && may("READ_CUSTOMERS") ? (
      <CustomerName id={value} appSlug={appSlug} />
    ) : (
      <Value field={field} value={value} />
    );
  return (
    <div>
      <dt>
        <bdi>{label}</bdi>
      </dt>
      <dd>
        {isErased ? (
          <Value field={field} value={null} isErased />
        ) : (
          <>
            <span className={styles.hidden}>from </span>
            {show(from)}
            <ArrowRight size={13} aria-hidden />
            <span className={styles.hidden}> to </span>
            {show(to)}
          </>
        )}
      </dd>
    </div>
  );
}

/** The name of a customer who had or got a license, with a link. A customer who was deleted only has an id. */
function CustomerName({ id, appSlug }: { id: string; appSlug: string }) {
  const [{ data }] = useQuery({ query: CustomerNameDocument, variables: { id } });
  const customer = data?.customer;
  if (!customer) return <Value field="customer_id" value={id} />;
  return (
    <Link to={paths.customer(appSlug, id)}>
      <bdi>{customer.name ?? customer.email}</bdi>
    </Link>
  );
}
