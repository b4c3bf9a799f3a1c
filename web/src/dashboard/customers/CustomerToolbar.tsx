import { ListFilter } from "lucide-react";
import { type ReactNode, useId, useState } from "react";
import { Button } from "../design/Button";
import { Field } from "../design/Field";
import { useThrottled } from "../design/useThrottled";
import { BETWEEN_SEARCHES, SearchBox } from "../lists/SearchBox";
import styles from "../lists/Toolbar.module.css";
import type { CustomerQuestion, Parameter } from "./question";

const ORDERS = [
  { order: "-created_at", label: "Newest first" },
  { order: "created_at", label: "Oldest first" },
  { order: "email", label: "Email, A to Z" },
  { order: "-email", label: "Email, Z to A" },
  { order: "name", label: "Name, A to Z" },
  { order: "-name", label: "Name, Z to A" },
];

/** The search box, the filters and the order. */
export function CustomerToolbar({
  question,
  isWaiting,
  children,
}: {
  question: CustomerQuestion;
  isWaiting: boolean;
  children: ReactNode;
}) {
  const { values, set } = question;
  const [isOpen, setIsOpen] = useState(() => Boolean(values.externalId || values.from || values.to));
  const panel = useId();
  const filters = [values.externalId, values.from, values.to].filter(Boolean).length;
  return (
    <section className={styles.toolbar} aria-label="Search and filters">
      <div className={styles.tools}>
        <SearchBox
          label="Search by email or name"
          value={values.search}
          isWaiting={isWaiting}
          onSearch={(search) => set({ search })}
        />
        <Button aria-expanded={isOpen} aria-controls={panel} onClick={() => setIsOpen(!isOpen)}>
          <ListFilter size={16} aria-hidden /> Filters{filters > 0 && ` (${filters})`}
        </Button>
        <select
          className={styles.order}
          aria-label="Order"
          value={values.order}
          onChange={(event) => set({ order: event.target.value })}
        >
          {ORDERS.map(({ order, label }) => (
            <option key={order} value={order}>
              {label}
            </option>
          ))}
        </select>
        <span className={styles.space} />
        {children}
      </div>
      <div id={panel} className={styles.filters} hidden={!isOpen}>
        <FilterField label="External ID" name="externalId" question={question} />
        <FilterField label="Added from" name="from" type="date" question={question} />
        <FilterField label="Added to" name="to" type="date" question={question} />
        <Button
          kind="quiet"
          onClick={() => set({ externalId: "", from: "", to: "" })}
          disabled={filters === 0}
        >
          Clear filters
        </Button>
      </div>
    </section>
  );
}

function FilterField({
  label,
  name,
  type = "text",
  question,
}: {
  label: string;
  name: Parameter;
  type?: string;
  question: CustomerQuestion;
}) {
  const [text, setText] = useThrottled(
    question.values[name],
    (value) => question.set({ [name]: value }),
    BETWEEN_SEARCHES,
  );
  return (
    <Field label={label}>
      {(props) => (
        <input {...props} type={type} value={text} onChange={(event) => setText(event.target.value)} />
      )}
    </Field>
  );
}
