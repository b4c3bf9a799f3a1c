/** How long a license is valid: the fields of forms, and what they mean as an input. */

import { Segment } from "../design/Choice";
import { type ControlProps, Field, FieldGroup } from "../design/Field";
import forms from "../design/Form.module.css";
import { endOfDay } from "../format";

export type Term = "days" | "until" | "forever";

const TERMS: readonly { term: Term; label: string }[] = [
  { term: "days", label: "For a number of days" },
  { term: "until", label: "Until a date" },
  { term: "forever", label: "Forever" },
];

/** The values of a form that are about the term. `Other` are terms besides the usual ones. `End` is the name of the
 *  input's field for the end of the term. */
export type TermValues<End extends string, Other extends string = never> = { term: Term | Other } & Record<
  "durationDays" | End,
  string
>;

export const TERM_LABELS = { durationDays: "Days", expiresAt: "Last day", until: "Last day" };

/** The fields of a form for the term of a license. */
export function TermFields<End extends "expiresAt" | "until", Other extends string = never>({
  end,
  label = "Valid",
  others = [],
  daysHint,
  values,
  errors,
  bind,
  onTerm,
}: {
  end: End;
  label?: string;
  /** Terms that are offered before the usual ones. */
  others?: readonly { term: Other; label: string }[];
  daysHint?: string;
  values: TermValues<End, Other>;
  errors: Record<string, string>;
  bind: (name: "durationDays" | End) => React.InputHTMLAttributes<HTMLInputElement>;
  onTerm: (term: Term | Other) => void;
}) {
  return (
    <>
      <FieldGroup label={label}>
        <div className={forms.segments}>
          {[...others, ...TERMS].map((each) => (
            <Segment
              key={each.term}
              name="term"
              label={each.label}
              checked={values.term === each.term}
              onChange={() => onTerm(each.term)}
            />
          ))}
        </div>
      </FieldGroup>
      {values.term === "days" && (
        <Field label={TERM_LABELS.durationDays} error={errors.durationDays} hint={daysHint} required>
          {(props: ControlProps) => (
            <input {...props} {...bind("durationDays")} inputMode="numeric" autoComplete="off" />
          )}
        </Field>
      )}
      {values.term === "until" && (
        <Field
          label={TERM_LABELS[end]}
          error={errors[end]}
          hint="The license expires at the end of this day."
          required
        >
          {(props: ControlProps) => <input {...props} {...bind(end)} type="date" />}
        </Field>
      )}
    </>
  );
}

/** A term as fields of an input. Without any field, the term is the tier's, or stays as it is. */
export type TermInput<End extends string> = { durationDays?: number; forever?: boolean } & Partial<
  Record<End, string>
>;

/** Returns a term as input fields, or an error and its field. A term that is not one of the usual ones has no fields. */
export function termOf<End extends "expiresAt" | "until">(
  end: End,
  values: TermValues<End, string>,
): { value: TermInput<End> } | { error: string; field: string } {
  switch (values.term) {
    case "forever":
      return { value: { forever: true } as TermInput<End> };
    case "days":
      return /^\d{1,9}$/.test(values.durationDays.trim())
        ? { value: { durationDays: Number(values.durationDays) } as TermInput<End> }
        : { field: "durationDays", error: "Enter a whole number of days." };
    case "until": {
      const last = endOfDay(values[end]);
      return last ? { value: { [end]: last } as TermInput<End> } : { field: end, error: "Enter a date." };
    }
    default:
      return { value: {} as TermInput<End> };
  }
}
