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
import { NotFound } from "../NotFound";
import { isAt, paths } from "../navigation";
import { useSession } from "../session/Session";
import { CreateCustomer } from "./CustomerForm";
import styles from "./Customers.module.css";
import { CustomerTable } from "./CustomerTable";
import { CustomerToolbar } from "./CustomerToolbar";
import { useCustomerQuestion } from "./question";

/** Filtered customers are counted no further: "1,000+" tells as much, and is there before the next letter. */
const COUNT_AT_MOST = 1_000;

const NO_MATCH = {
  search: "Nobody has this in their email or name.",
  filters: "These filters leave nobody.",
  "search and filters": "Nobody has this in their email or name, with these filters.",
};

/** An app's customers: searched, filtered, ordered, and as many as one scrolls to. */
export function Customers({ slug }: { slug: string }) {
  const { canWrite } = useSession();
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
  // The table's first page asks the same, and the client sends it once.
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
        <Empty icon={<SearchX size={20} />} title="No customer matches">
          <p>{NO_MATCH[question.by]}</p>
          <Button onClick={question.clear}>Clear {question.by}</Button>
        </Empty>
      )}
      {isEmpty && (
        <Empty icon={<Inbox size={20} />} title="No customers yet">
          <p>Customers are added here, or by your shop through the API when somebody buys.</p>
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
