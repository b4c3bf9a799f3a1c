/** Options of which exactly one is chosen. */

import forms from "./Form.module.css";

interface OptionProps {
  name: string;
  label: string;
  checked: boolean;
  onChange: () => void;
}

/** An option on a line of its own, with an explanation if there is one. */
export function Choice({ name, label, hint, checked, onChange }: OptionProps & { hint?: string }) {
  return (
    <label className={forms.choice}>
      <input type="radio" name={name} checked={checked} onChange={onChange} />
      <span>
        {label}
        {hint && <span className={forms.about}>{hint}</span>}
      </span>
    </label>
  );
}

/** A short option. Put several of them side by side into an element with the class `segments`. */
export function Segment({ name, label, checked, onChange }: OptionProps) {
  return (
    <label>
      <input type="radio" name={name} checked={checked} onChange={onChange} />
      <span>{label}</span>
    </label>
  );
}
