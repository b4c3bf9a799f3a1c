import { Ban, CalendarPlus, Download, FileKey2, SearchX } from "lucide-react";
import { useMemo, useRef, useState } from "react";
import { useQuery } from "urql";
import { AppHeader } from "../apps/AppHeader";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Empty, Failed, FailureNote, Loading } from "../design/States";
import { useToast } from "../design/Toasts";
import { useTitle } from "../design/useTitle";
import { counted, number } from "../format";
import { AppLicensesDocument, CatalogDocument, type ListedLicenseFragment } from "../graph/graphql";
import toolbar from "../lists/Toolbar.module.css";
import { NotFound } from "../NotFound";
import { useSession } from "../session/Session";
import { RenewSelected, RevokeSelected } from "./Batch";
import { CSV_HEAD, csvOf, saveCsv } from "./csv";
import { ExportLicenses } from "./ExportLicenses";
import { LicenseTable } from "./LicenseTable";
import styles from "./LicenseTable.module.css";
import { LicenseToolbar } from "./LicenseToolbar";
import { firstLicenses } from "./manyLicenses";
import { useLicenseQuestion } from "./question";
import { SELECT_AT_MOST, SelectionContext, useNewSelection } from "./selection";

/** Counting filtered licenses stops at this number, so that "1,000+" arrives before the next keystroke. */
const COUNT_AT_MOST = 1_000;

interface Batch {
  action: "revoke" | "renew";
  licenses: readonly ListedLicenseFragment[];
}

/** All licenses of an app, with search, filters, order, endless scrolling, and actions on selected licenses. */
export function AppLicenses({ slug }: { slug: string }) {
  const { may } = useSession();
  const say = useToast();
  const question = useLicenseQuestion();
  const { filter, orderBy, isFiltered } = question;
  const address = question.address(slug);
  const variables = useMemo(
    () => ({ slug, filter, orderBy, countAtMost: isFiltered ? COUNT_AT_MOST : null }),
    [slug, filter, orderBy, isFiltered],
  );
  const [refreshes, setRefreshes] = useState(0);
  const [isExporting, setIsExporting] = useState(false);
  const [batch, setBatch] = useState<Batch | null>(null);
  const selection = useNewSelection(address);
  // The table's first page runs the same query, and the client sends it only once.
  const [{ data, error, fetching, stale }, again] = useQuery({
    query: AppLicensesDocument,
    variables: { ...variables, after: null, isFirst: true },
  });
  const [{ data: catalog }] = useQuery({ query: CatalogDocument, variables: { slug } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const app = data?.app;
  const tableApp = useMemo(
    () => catalog?.app ?? { slug, name: app?.name ?? slug, features: NONE, lastFeatures: NONE },
    [catalog, slug, app?.name],
  );
  useTitle(app ? `Licenses of ${app.name}` : undefined);

  const latestAddress = useRef(address);
  latestAddress.current = address;
  const [isSelecting, setIsSelecting] = useState(false);
  /** Selects the licenses of all pages, or the first ones if there are too many. */
  async function selectAll(isSelected: boolean) {
    if (!isSelected) {
      selection.choose([]);
      return;
    }
    setIsSelecting(true);
    const licenses = await firstLicenses({ slug, filter, orderBy }, SELECT_AT_MOST);
    setIsSelecting(false);
    if (latestAddress.current !== address) return;
    if (!licenses) {
      say({ text: "The licenses could not be selected. Try again." });
      return;
    }
    selection.choose(licenses);
    if (licenses.length === SELECT_AT_MOST)
      say({ text: `At most ${number(SELECT_AT_MOST)} licenses can be selected.` });
  }

  if (!may("READ_CUSTOMERS")) return <NotFound what="page" app={slug} />;
  if (!data && failure) return <Failed failure={failure} retry={retry} />;
  if (!data) return <Loading what="licenses" />;
  if (!app) return <NotFound what="app" />;

  const total = app.licenses.totalCount ?? 0;
  const isCurrent = !fetching || stale;
  const isEmpty = total === 0 && isCurrent && !isFiltered;
  const isCapped = isFiltered && total >= COUNT_AT_MOST;
  const canWrite = may("WRITE_LICENSES");
  const selected = selection.licenses;
  return (
    <SelectionContext value={selection}>
      <AppHeader app={app} />
      {!isEmpty && (
        <LicenseToolbar
          question={question}
          tiers={catalog?.app?.tiers.nodes ?? []}
          isWaiting={!isCurrent}
          onExport={() => setIsExporting(true)}
        />
      )}
      {failure && <FailureNote failure={failure} retry={retry} />}
      <div className={styles.above}>
        <p className={toolbar.total} role="status">
          {isCurrent && !isEmpty && said(total, isFiltered, isCapped)}
          {selected.length > 0 && `, ${number(selected.length)} selected`}
        </p>
        {total > 0 && (
          <label className={styles.all}>
            <input
              type="checkbox"
              checked={isSelecting || (selected.length > 0 && selected.length >= total)}
              onChange={({ target }) => void selectAll(target.checked)}
            />
            Select all
          </label>
        )}
        {selected.length > 0 && (
          <fieldset className={styles.selected}>
            <legend>Selected licenses</legend>
            {canWrite && (
              <>
                <Button size="small" onClick={() => setBatch({ action: "renew", licenses: selected })}>
                  <CalendarPlus size={15} aria-hidden /> Renew selected…
                </Button>
                <Button size="small" onClick={() => setBatch({ action: "revoke", licenses: selected })}>
                  <Ban size={15} aria-hidden /> Revoke selected…
                </Button>
              </>
            )}
            <Button size="small" onClick={() => saveCsv([CSV_HEAD, csvOf(selected)], slug)}>
              <Download size={15} aria-hidden /> Export selected
            </Button>
            <Button size="small" kind="quiet" onClick={() => selection.choose([])}>
              Clear selection
            </Button>
          </fieldset>
        )}
      </div>
      {total > 0 && (
        <LicenseTable
          app={tableApp}
          variables={variables}
          address={address}
          question={question}
          total={total}
          refreshes={refreshes}
        />
      )}
      {total === 0 && isCurrent && isFiltered && (
        <Empty icon={<SearchX size={20} />} title="No matching licenses">
          <p>No license matches this search and these filters.</p>
          <Button onClick={question.clear}>Clear search and filters</Button>
        </Empty>
      )}
      {isEmpty && (
        <Empty icon={<FileKey2 size={20} />} title="No licenses yet">
          <p>Licenses are issued to customers, on the customer's page or through the API.</p>
        </Empty>
      )}
      {isExporting && (
        <ExportLicenses
          question={{ slug, filter, orderBy }}
          total={isCapped ? null : total}
          onClose={() => setIsExporting(false)}
        />
      )}
      {batch && (
        <BatchDialog
          batch={batch}
          onClose={() => setBatch(null)}
          onDone={(failed) => {
            selection.choose(failed);
            setRefreshes((before) => before + 1);
          }}
        />
      )}
    </SelectionContext>
  );
}

const NONE = { nodes: [] };

function BatchDialog({
  batch,
  ...props
}: {
  batch: Batch;
  onClose: () => void;
  onDone: (failed: readonly ListedLicenseFragment[]) => void;
}) {
  const Dialog = batch.action === "revoke" ? RevokeSelected : RenewSelected;
  return <Dialog licenses={batch.licenses} {...props} />;
}

function said(total: number, isFiltered: boolean, isCapped: boolean): string {
  if (!isFiltered) return counted(total, "license");
  return isCapped ? `${number(total)}+ matching licenses` : counted(total, "matching license");
}
