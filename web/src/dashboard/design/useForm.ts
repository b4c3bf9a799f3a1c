/** The state of forms: their values, and the server's errors next to their fields. */

import { useEffect, useRef, useState } from "react";
import { type Subjects, sentenceOf } from "../client/faults";
import type { FaultFragment } from "../graph/graphql";
import { markUnsaved } from "../unsaved";

/** The values of a form, by name. A value for a field of the GraphQL input has the name of this field, so that errors
 *  are shown next to it. A value is the text of a control, or a list of the checkboxes that are checked. */
type Values = Record<string, string | readonly string[]>;

/** The names of the values that are texts. */
type TextName<V extends Values> = { [name in keyof V]: V[name] extends string ? name : never }[keyof V] &
  string;

/** Returns the state of a form. Every field must be part of this state: while a value differs from its initial
 *  value, the user is asked before the form is closed (except by Cancel) or left. `subjects` has the visible names of
 *  the form's fields, and of everything else that errors of the server may refer to. Each error message follows one of
 *  these names. */
export function useForm<V extends Values>(initial: V, subjects: Subjects & { [name in keyof V]?: string }) {
  const [values, setValues] = useState(initial);
  const [begun, setBegun] = useState(initial);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const form = useRef<HTMLFormElement>(null);

  useEffect(() => {
    if (Object.keys(errors).length === 0) return;
    form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [errors]);

  const changes = Object.keys(values).filter((name) => !areEqual(values[name], begun[name]));
  const isChanged = changes.length > 0;
  useEffect(() => (isChanged && form.current ? markUnsaved(form.current) : undefined), [isChanged]);

  function set<Name extends keyof V & string>(name: Name, value: V[Name]): void {
    setValues((before) => ({ ...before, [name]: value }));
    setErrors(({ [name]: _, ...others }) => others);
  }

  return {
    form,
    values,
    set,
    /** Errors by field. Errors that belong to no field of the form are under "". */
    errors,
    bind: <Name extends TextName<V>>(name: Name) => ({
      name,
      value: values[name] as string,
      onChange: (event: { target: { value: string } }) => set(name, event.target.value as V[Name]),
    }),
    /** Names of the fields that the user changed. Edit forms send only these, so that they keep changes by others. */
    changes,
    /** Makes these values the initial and the current values of the form. */
    begin: (saved: V) => {
      setValues(saved);
      setBegun(saved);
    },
    setErrors,
    /** Shows the server's errors. */
    blame: (faults: readonly FaultFragment[]) => setErrors(errorsOf(faults, initial, subjects)),
  };
}

/** Returns true if two values are equal. The order of a list has no meaning. */
function areEqual(one: Values[string] | undefined, other: Values[string] | undefined): boolean {
  return JSON.stringify([one].flat().sort()) === JSON.stringify([other].flat().sort());
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

/** Returns a text without the whitespace around it, or null if nothing is left. */
export const orNull = (text: string): string | null => (text.trim() === "" ? null : text.trim());

/** Returns the given fields of an input. */
export function only<Input extends object>(input: Input, names: readonly string[]): Partial<Input> {
  return Object.fromEntries(Object.entries(input).filter(([name]) => names.includes(name))) as Partial<Input>;
}
