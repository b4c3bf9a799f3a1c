import { type FormEvent, useEffect, useRef, useState } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Copy } from "../design/Copy";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import { type CustomerDetailsFragment, UpdateCustomerDocument } from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";
import { useSession } from "../session/Session";
import styles from "./Customer.module.css";

/** A customer's metadata, and the form to change it. */
export function Metadata({ customer }: { customer: CustomerDetailsFragment }) {
  const { may } = useSession();
  const [isEditing, setIsEditing] = useState(false);
  const edit = useRef<HTMLButtonElement>(null);
  const wasEditing = useRef(false);
  useEffect(() => {
    if (wasEditing.current && !isEditing) edit.current?.focus();
    wasEditing.current = isEditing;
  }, [isEditing]);
  const text = JSON.stringify(customer.metadata, null, 2);
  const isEmpty = Object.keys(customer.metadata).length === 0;
  return (
    <section className={`${styles.panel} ${styles.metadata}`} aria-labelledby="metadata">
      <div className={styles.panelHead}>
        <h2 id="metadata">Metadata</h2>
        <span>
          {!isEmpty && <Copy text={text} what="metadata" />}
          {may("WRITE_CUSTOMERS") && !isEditing && (
            <Button ref={edit} size="small" kind="quiet" onClick={() => setIsEditing(true)}>
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
        <p className={styles.none}>No metadata.</p>
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
      undone: "The change to the metadata was undone.",
    });
  }

  return (
    <form ref={form} onSubmit={submit} className={forms.form} noValidate>
      <MetadataField
        error={errors.metadata}
        hint="A JSON object with at most 50 keys."
        control={{
          ...bind("metadata"),
          rows: Math.min(Math.max(values.metadata.split("\n").length + 1, 8), 24),
          autoFocus: true,
        }}
      />
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
