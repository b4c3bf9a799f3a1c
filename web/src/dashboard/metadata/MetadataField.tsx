/** Custom data of customers and licenses, as it is typed: a JSON object. */

import type { ComponentProps } from "react";
import { Field } from "../design/Field";
import styles from "./MetadataField.module.css";

/** Where metadata is typed. What is typed is read by `parseObject`. */
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

/** A JSON object as somebody typed it; empty is none. */
export function parseObject(text: string): { value: Record<string, unknown> } | { error: string } {
  if (text.trim() === "") return { value: {} };
  try {
    const value: unknown = JSON.parse(text, exact);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? { value: value as Record<string, unknown> }
      : { error: "This must be an object: { … }." };
  } catch (error) {
    if (error instanceof RangeError) return { error: error.message };
    return { error: `This is not JSON: ${(error as SyntaxError).message}` };
  }
}

/** Refuses numbers that would be another number when saved. */
function exact(_: string, value: unknown): unknown {
  if (typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(
      `Write numbers beyond ${Number.MAX_SAFE_INTEGER} as texts: this browser rounds them.`,
    );
  }
  return value;
}
