import { Download } from "lucide-react";
import { Button } from "../design/Button";
import { SearchBox } from "../lists/SearchBox";
import toolbar from "../lists/Toolbar.module.css";
import type { CatalogApp } from "./fields";
import styles from "./LicenseTable.module.css";
import type { LicenseQuestion, Parameter } from "./question";

interface Option {
  value: string;
  label: string;
}

const STATUSES: readonly Option[] = [
  { value: "", label: "Any status" },
  { value: "active", label: "Active" },
  { value: "expiring", label: "Expiring in 30 days" },
  { value: "expired", label: "Expired" },
  { value: "revoked", label: "Revoked" },
];

const TRIALS: readonly Option[] = [
  { value: "", label: "Trials and others" },
  { value: "yes", label: "Only trials" },
  { value: "no", label: "No trials" },
];

const VERIFIED: readonly Option[] = [
  { value: "", label: "Verified at any time or never" },
  { value: "week", label: "Verified in the last 7 days" },
  { value: "month", label: "Verified in the last 30 days" },
  { value: "earlier", label: "Last verified more than 30 days ago" },
  { value: "never", label: "Never verified" },
];

const ORDERS: readonly Option[] = [
  { value: "-created_at", label: "Newest first" },
  { value: "created_at", label: "Oldest first" },
  { value: "expires_at", label: "First to expire first" },
  { value: "-expires_at", label: "Last to expire first" },
  { value: "last_verified_at", label: "Longest not verified first" },
  { value: "-last_verified_at", label: "Last verified first" },
];

/** The search box, the filters and the order. */
export function LicenseToolbar({
  question,
  tiers,
  isWaiting,
  onExport,
}: {
  question: LicenseQuestion;
  tiers: CatalogApp["tiers"]["nodes"];
  isWaiting: boolean;
  onExport: () => void;
}) {
  const { values, set } = question;
  const ofTiers = [
    { value: "", label: "Any tier" },
    ...tiers.map(({ slug, name }) => ({ value: slug, label: name })),
  ];
  return (
    <section className={toolbar.toolbar} aria-label="Search and filters">
      <div className={toolbar.tools}>
        <SearchBox
          label="Search by installation or token ID"
          value={values.search}
          isWaiting={isWaiting}
          onSearch={(search) => set({ search })}
        />
        <Selector label="Order" name="order" options={ORDERS} question={question} />
        <span className={toolbar.space} />
        <Button onClick={onExport}>
          <Download size={16} aria-hidden /> Export CSV
        </Button>
      </div>
      <div className={styles.filters}>
        <Selector label="Status" name="status" options={STATUSES} question={question} />
        {(tiers.length > 0 || values.tier) && (
          <Selector label="Tier" name="tier" options={ofTiers} question={question} />
        )}
        {(tiers.some(({ trial }) => trial) || values.trial) && (
          <Selector label="Trial" name="trial" options={TRIALS} question={question} />
        )}
        <Selector label="Last verified" name="verified" options={VERIFIED} question={question} />
        <Button kind="quiet" onClick={question.clearFilters} disabled={question.filters === 0}>
          Clear filters
        </Button>
      </div>
    </section>
  );
}

function Selector({
  label,
  name,
  options,
  question,
}: {
  label: string;
  name: Parameter;
  options: readonly Option[];
  question: LicenseQuestion;
}) {
  const value = question.values[name];
  const isUnlisted = !options.some((each) => each.value === value);
  return (
    <select
      className={toolbar.order}
      aria-label={label}
      value={value}
      onChange={({ target }) => question.set({ [name]: target.value })}
    >
      {options.map((each) => (
        <option key={each.value} value={each.value}>
          {each.label}
        </option>
      ))}
      {isUnlisted && <option value={value}>{value}</option>}
    </select>
  );
}
