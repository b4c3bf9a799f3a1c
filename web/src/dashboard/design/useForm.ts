/** Forms: what is typed, and the server's faults at the fields they are about. */

import { useEffect, useRef, useState } from "react";
import type { FaultFragment } from "../graph/graphql";

/** Values of a form by the names that the graph's input gives them. */
type Values = Record<string, string>;

/** The state of a form. `labels` names its fields as people see them, for messages that continue the name. */
export function useForm<V extends Values>(initial: V, labels: { [name in keyof V]: string }) {
  const [values, setValues] = useState(initial);
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
    set: <Name extends keyof V>(name: Name, value: string) => {
      setValues((before) => ({ ...before, [name]: value }));
      setErrors(({ [name as string]: _, ...others }) => others);
    },
    bind: (name: keyof V & string) => ({
      name,
      value: values[name],
      onChange: (event: { target: { value: string } }) => {
        const { value } = event.target;
        setValues((before) => ({ ...before, [name]: value }));
        setErrors(({ [name]: _, ...others }) => others);
      },
    }),
    setErrors,
    /** Show the server's faults. */
    blame: (faults: readonly FaultFragment[]) => setErrors(errorsOf(faults, labels)),
  };
}

function errorsOf(faults: readonly FaultFragment[], labels: Record<string, string>): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const { field, message } of faults) {
    const [name = "", ...within] = field ?? [];
    const isShown = name in labels;
    const subject = [isShown ? labels[name] : name, ...within].filter(Boolean).join(" › ");
    const sentence = `${subject} ${message}`.trim();
    const text = `${sentence.charAt(0).toLocaleUpperCase()}${sentence.slice(1)}.`;
    const place = isShown ? name : "";
    errors[place] = errors[place] ? `${errors[place]} ${text}` : text;
  }
  return errors;
}

/** What of a form's text is to be sent: null for a field left empty. */
export const orNull = (text: string): string | null => (text.trim() === "" ? null : text.trim());
