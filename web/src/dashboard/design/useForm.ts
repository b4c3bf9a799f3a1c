/** Forms: what is typed, and the server's faults at the fields they are about. */

import { useEffect, useRef, useState } from "react";
import { type Subjects, sentenceOf } from "../client/faults";
import type { FaultFragment } from "../graph/graphql";

/** Values of a form by the names that the graph's input gives them. */
type Values = Record<string, string>;

/** The state of a form. `subjects` names its fields as people see them, and what else the server may find fault with:
 *  messages continue the name. */
export function useForm<V extends Values>(initial: V, subjects: { [name in keyof V]: string } & Subjects) {
  const [values, setValues] = useState(initial);
  const [begun, setBegun] = useState(initial);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const form = useRef<HTMLFormElement>(null);

  useEffect(() => {
    if (Object.keys(errors).length === 0) return;
    form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [errors]);

  return {
    form,
    values,
    /** Faults by field; those of no field that is shown stand under "". */
    errors,
    bind: (name: keyof V & string) => ({
      name,
      value: values[name],
      onChange: (event: { target: { value: string } }) => {
        const { value } = event.target;
        setValues((before) => ({ ...before, [name]: value }));
        setErrors(({ [name]: _, ...others }) => others);
      },
    }),
    /** Names of the fields that differ from what the form began with. What others changed meanwhile stays theirs. */
    changes: Object.keys(values).filter((name) => values[name] !== begun[name]),
    /** From now on the form begins with these values. */
    begin: (saved: V) => {
      setValues(saved);
      setBegun(saved);
    },
    setErrors,
    /** Show the server's faults. */
    blame: (faults: readonly FaultFragment[]) => setErrors(errorsOf(faults, initial, subjects)),
  };
}

function errorsOf(
  faults: readonly FaultFragment[],
  shown: Values,
  subjects: Subjects,
): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const fault of faults) {
    const name = fault.field?.[0] ?? "";
    const place = name in shown ? name : "";
    const text = sentenceOf(fault, subjects);
    errors[place] = errors[place] ? `${errors[place]} ${text}` : text;
  }
  return errors;
}

/** What of a form's text is to be sent: null for a field left empty. */
export const orNull = (text: string): string | null => (text.trim() === "" ? null : text.trim());

/** Of a whole input what these fields are about. */
export function only<Input extends object>(input: Input, names: readonly string[]): Partial<Input> {
  return Object.fromEntries(Object.entries(input).filter(([name]) => names.includes(name))) as Partial<Input>;
}
