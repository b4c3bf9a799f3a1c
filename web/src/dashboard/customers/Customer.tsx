import { Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { Link, useLocation } from "wouter";
import { Activity } from "../activity/Activity";
import { AppSwitcher } from "../apps/AppSwitcher";
import { useFailure } from "../client/useFailure";
import { Avatar } from "../design/Avatar";
import { Button } from "../design/Button";
import { Detail, Details } from "../design/Details";
import { Failed, FailureNote, Loading } from "../design/States";
import { Tab, Tabs } from "../design/Tabs";
import { useToast } from "../design/Toasts";
import { useTitle } from "../design/useTitle";
import { counted, dateAndTime } from "../format";
import { CustomerDocument, type CustomerQuery } from "../graph/graphql";
import { Licenses } from "../licenses/Licenses";
import { NotFound } from "../NotFound";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./Customer.module.css";
import { EditCustomer } from "./CustomerForm";
import { DeleteCustomer } from "./DeleteCustomer";
import { Metadata } from "./Metadata";

type CustomerView = NonNullable<CustomerQuery["customer"]>;

/** One customer: details, metadata and licenses, or what happened to the customer. */
export function Customer({
  slug,
  id,
  view = "overview",
}: {
  slug: string;
  id: string;
  view?: "overview" | "activity";
}) {
  const { may } = useSession();
  const [{ data, error }, again] = useQuery({ query: CustomerDocument, variables: { id } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const customer = data?.customer?.app.slug === slug ? data.customer : null;
  useTitle(customer ? (customer.name ?? customer.email) : undefined);

  if (!data && failure) {
    return failure.kind === "refused" ? (
      <NotFound what="customer" app={slug} id={id} />
    ) : (
      <Failed failure={failure} retry={retry} />
    );
  }
  if (!data) return <Loading what="the customer" />;
  if (view === "activity" && !may("READ_EVENTS")) return <NotFound what="page" app={slug} />;
  if (!customer) return <NotFound what="customer" app={slug} id={id} />;
  return (
    <>
      {failure && <FailureNote failure={failure} retry={retry} />}
      <CustomerHeader customer={customer} />
      {view === "activity" ? (
        <Activity
          owner={{ kind: "customer", id, appSlug: slug }}
          address={paths.customerActivity(slug, id)}
        />
      ) : (
        <div className={styles.columns}>
          <About customer={customer} />
          <Licenses customer={customer} />
          <Metadata customer={customer} />
        </div>
      )}
    </>
  );
}

function CustomerHeader({ customer }: { customer: CustomerView }) {
  const { may } = useSession();
  const [, navigate] = useLocation();
  const say = useToast();
  const [open, setOpen] = useState<"edit" | "delete" | null>(null);
  const { app, email, name } = customer;
  return (
    <header className={styles.header}>
      <div className={styles.crumbs}>
        <Link to={paths.apps()}>Apps</Link>
        <span aria-hidden>/</span>
        <Link to={paths.customers(app.slug)} onClick={backToList}>
          <bdi>{app.name}</bdi>
        </Link>
        <AppSwitcher slug={app.slug} />
      </div>
      <div className={styles.title}>
        <Avatar name={name} email={email} isLarge />
        <div className={styles.names}>
          <h1>
            <bdi>{name ?? email}</bdi>
          </h1>
          {name && (
            <p>
              <bdi>{email}</bdi>
            </p>
          )}
        </div>
        {may("READ_EVENTS") && (
          <Tabs label="Customer" isInline>
            <Tab to={paths.customer(app.slug, customer.id)}>Overview</Tab>
            <Tab to={paths.customerActivity(app.slug, customer.id)}>Activity</Tab>
          </Tabs>
        )}
        {may("WRITE_CUSTOMERS") && (
          <div className={styles.actions}>
            <Button onClick={() => setOpen("edit")}>
              <Pencil size={15} aria-hidden /> Edit
            </Button>
            <Button onClick={() => setOpen("delete")}>
              <Trash2 size={15} aria-hidden /> Delete
            </Button>
          </div>
        )}
      </div>
      {open === "edit" && <EditCustomer customer={customer} onClose={() => setOpen(null)} />}
      {open === "delete" && (
        <DeleteCustomer
          customer={customer}
          onClose={() => setOpen(null)}
          onDeleted={(licenses) => {
            navigate(paths.customers(app.slug), { replace: true });
            say({
              text: (
                <>
                  <bdi>{email}</bdi> was deleted, with {counted(licenses, "license")}.
                </>
              ),
            });
          }}
        />
      )}
    </header>
  );
}

/** If the user came from the list, goes back in the history, so that the list keeps its scroll position, search and
 *  filters. */
function backToList(event: React.MouseEvent): void {
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!isPlain || !(history.state as { fromList?: boolean } | null)?.fromList) return;
  event.preventDefault();
  history.back();
}

function About({ customer }: { customer: CustomerView }) {
  const { id, email, name, externalId, createdAt, updatedAt } = customer;
  return (
    <section className={`${styles.panel} ${styles.about}`} aria-labelledby="details">
      <h2 id="details">Details</h2>
      <Details>
        <Detail label="Email" copied={email}>
          <bdi>{email}</bdi>
        </Detail>
        <Detail label="Name">{name && <bdi>{name}</bdi>}</Detail>
        <Detail label="External ID" copied={externalId}>
          {externalId && <bdi>{externalId}</bdi>}
        </Detail>
        <Detail label="ID" copied={id}>
          <code>{id}</code>
        </Detail>
        <Detail label="Added">
          <time dateTime={createdAt}>{dateAndTime(createdAt)}</time>
        </Detail>
        <Detail label="Changed">
          <time dateTime={updatedAt}>{dateAndTime(updatedAt)}</time>
        </Detail>
      </Details>
    </section>
  );
}
