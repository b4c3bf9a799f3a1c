import { Inbox, Plus, SearchX } from "lucide-react";
import { useMemo, useState } from "react";
import { useQuery } from "urql";
import { useLocation } from "wouter";
import { AppHeader } from "../apps/AppHeader";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Empty, Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { number } from "../format";
import { CustomersDocument } from "../graph/graphql";
import styles from "../lists/Toolbar.module.css";
import { NotFound } from "../NotFound";
import { isAt, paths } from "../navigation";
import { useSession } from "../session/Session";
import { CreateCustomer } from "./CustomerForm";
import { CustomerTable } from "./CustomerTable";
import { CustomerToolbar } from "./CustomerToolbar";
import { useCustomerQuestion } from "./question";

/** Counting filtered customers stops at this number, so that "1,000+" arrives before the next keystroke. */
const COUNT_AT_MOST = 1_000;

const NO_MATCH = {
  search: "No customer's email or name contains this text.",
  filters: "No customer matches these filters.",
  "search and filters": "No customer that matches these filters has this text in their email or name.",
};

/** An app's customers, with search, filters, order, and endless scrolling. */
export function Customers({ slug }: { slug: string }) {
  const canWrite = useSession().may("WRITE_CUSTOMERS");
  const [, navigate] = useLocation();
  const [isCreating, setIsCreating] = useState(false);
  const question = useCustomerQuestion();
  const variables = useMemo(
    () => ({
      slug,
      filter: question.filter,
      orderBy: question.orderBy,
      countAtMost: question.isFiltered ? COUNT_AT_MOST : null,
    }),
    [slug, question],
  );
  // The table's first page runs the same query, and the client sends it only once.
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: CustomersDocument,
    variables: { ...variables, after: null, isFirst: true },
  });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const app = data?.app;
  useTitle(app?.name);

  if (!data && failure) return <Failed failure={failure} retry={retry} />;
  if (!data) return <Loading what="customers" />;
  if (!app) return <NotFound what="app" />;

  const total = app.customers.totalCount ?? 0;
  const isCurrent = !fetching || stale;
  const isEmpty = total === 0 && isCurrent && !question.isFiltered;
  const create = canWrite && (
    <Button kind="primary" onClick={() => setIsCreating(true)}>
      <Plus size={16} aria-hidden /> New customer
    </Button>
  );
  return (
    <>
      <AppHeader app={app} />
      {!isEmpty && (
        <CustomerToolbar question={question} isWaiting={!isCurrent}>
          {create}
        </CustomerToolbar>
      )}
      {failure && <FailureNote failure={failure} retry={retry} />}
      <p className={styles.total} role="status">
        {isCurrent && !isEmpty && counted(total, question.isFiltered)}
      </p>
      {total > 0 && (
        <CustomerTable
          variables={variables}
          address={question.address(slug)}
          question={question}
          total={total}
        />
      )}
      {total === 0 && isCurrent && question.isFiltered && (
        <Empty icon={<SearchX size={20} />} title="No matching customers">
          <p>{NO_MATCH[question.by]}</p>
          <Button onClick={question.clear}>Clear {question.by}</Button>
        </Empty>
      )}
      {isEmpty && (
        <Empty icon={<Inbox size={20} />} title="No customers yet">
          <p>
            {canWrite
              ? "Add customers here, or let your shop add them through the API."
              : "Your shop adds customers through the API."}
          </p>
          {create}
        </Empty>
      )}
      {isCreating && (
        <CreateCustomer
          appSlug={slug}
          onClose={() => setIsCreating(false)}
          onCreated={(id) => navigate(paths.customer(slug, id))}
          onUndone={(id) => {
            if (isAt(paths.customer(slug, id))) navigate(paths.customers(slug), { replace: true });
          }}
        />
      )}
    </>
  );
}

function counted(total: number, isFiltered: boolean): string {
  const noun = total === 1 ? "customer" : "customers";
  if (!isFiltered) return `${number(total)} ${noun}`;
  return total >= COUNT_AT_MOST
    ? `${number(total)}+ matching customers`
    : `${number(total)} matching ${noun}`;
}
