/** The form field for metadata of customers and licenses: a JSON object. */

import type { ComponentProps } from "react";
import { Field } from "../design/Field";
import styles from "./MetadataField.module.css";

/** A text area for metadata. Use `parseObject` to parse its text. */
export function MetadataField({
  error,
  hint,
  control,
}: {
  error: string | undefined;
  hint?: string;
  control: ComponentProps<"textarea">;
}) {
  return (
    <Field label="Metadata as JSON" error={error} hint={hint}>
      {(props) => (
        <textarea
          {...props}
          {...control}
          className={styles.editor}
          spellCheck={false}
          autoCapitalize="none"
        />
      )}
    </Field>
  );
}

/** Parses a JSON object that the user typed. An empty text is an empty object. */
export function parseObject(text: string): { value: Record<string, unknown> } | { error: string } {
  if (text.trim() === "") return { value: {} };
  try {
    const value: unknown = JSON.parse(text, exact);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? { value: value as Record<string, unknown> }
      : { error: "This must be a JSON object: { … }." };
  } catch (error) {
    if (error instanceof RangeError) return { error: error.message };
    return { error: `This is not valid JSON: ${(error as SyntaxError).message}` };
  }
}

/** Rejects numbers that are so large that JavaScript may round them. */
function exact(_: string, value: unknown): unknown {
  if (typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(`Write numbers above ${Number.MAX_SAFE_INTEGER} as strings: browsers round them.`);
  }
  return value;
}
