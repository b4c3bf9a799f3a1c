import { type FormEvent, useState } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Copy } from "../design/Copy";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import { type CustomerDetailsFragment, UpdateCustomerDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import styles from "./Customer.module.css";

/** A customer's custom data, and the way to change it. */
export function Metadata({ customer }: { customer: CustomerDetailsFragment }) {
  const { canWrite } = useSession();
  const [isEditing, setIsEditing] = useState(false);
  const text = JSON.stringify(customer.metadata, null, 2);
  const isEmpty = Object.keys(customer.metadata).length === 0;
  return (
    <section className={styles.panel} aria-labelledby="metadata">
      <div className={styles.panelHead}>
        <h2 id="metadata">Metadata</h2>
        <span>
          {!isEmpty && <Copy text={text} what="metadata" />}
          {canWrite && !isEditing && (
            <Button size="small" kind="quiet" onClick={() => setIsEditing(true)}>
              Edit metadata
            </Button>
          )}
        </span>
      </div>
      {isEditing ? (
        <MetadataForm
          customer={customer}
          text={isEmpty ? "{\n  \n}" : text}
          onClose={() => setIsEditing(false)}
        />
      ) : isEmpty ? (
        <p className={styles.none}>Nothing is noted.</p>
      ) : (
        <Json value={customer.metadata} className={styles.json} label="Metadata" />
      )}
    </section>
  );
}

function MetadataForm({
  customer,
  text,
  onClose,
}: {
  customer: CustomerDetailsFragment;
  text: string;
  onClose: () => void;
}) {
  const say = useToast();
  const { form, values, errors, bind, blame, setErrors } = useForm(
    { metadata: text },
    { metadata: "Metadata", id: "the customer" },
  );
  const { run, pending, failure } = useChange(UpdateCustomerDocument, "updateCustomer");

  async function submit(event: FormEvent) {
    event.preventDefault();
    const parsed = parseObject(values.metadata);
    if ("error" in parsed) {
      setErrors({ metadata: parsed.error });
      return;
    }
    const before = customer.metadata;
    const outcome = await run({ id: customer.id, metadata: parsed.value });
    if (!outcome.done) {
      blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: "Metadata changed.",
      undo: () => run({ id: customer.id, metadata: before }),
      undone: "Metadata is as it was.",
    });
  }

  return (
    <form ref={form} onSubmit={submit} className={forms.form} noValidate>
      <Field label="Metadata as JSON" error={errors.metadata} hint="An object of at most 50 keys.">
        {(props) => (
          <textarea
            {...props}
            {...bind("metadata")}
            className={forms.editor}
            rows={Math.min(Math.max(values.metadata.split("\n").length + 1, 8), 24)}
            spellCheck={false}
            autoCapitalize="none"
            autoFocus
          />
        )}
      </Field>
      <FormErrors error={errors[""]} failure={failure} />
      <FormActions pending={pending}>
        <Button size="small" onClick={onClose}>
          Cancel
        </Button>
        <Button size="small" kind="primary" type="submit" pending={pending}>
          Save metadata
        </Button>
      </FormActions>
    </form>
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
