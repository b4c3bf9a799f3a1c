import { type ComponentProps, type FormEvent, useState } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { only, orNull, useForm } from "../design/useForm";
import {
  CreateCustomerDocument,
  type CustomerDetailsFragment,
  DeleteCustomerDocument,
  UpdateCustomerDocument,
} from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";

const LABELS = { email: "Email", name: "Name", externalId: "External ID", metadata: "Metadata" };

/** The dialog that creates a customer. */
export function CreateCustomer({
  appSlug,
  onClose,
  onCreated,
  onUndone,
}: {
  appSlug: string;
  onClose: () => void;
  onCreated: (id: string) => void;
  /** Called after an undo. By then, the user may be on another view. */
  onUndone: (id: string) => void;
}) {
  const say = useToast();
  const [hasMetadata, setHasMetadata] = useState(false);
  const { form, values, errors, bind, blame, setErrors } = useForm(
    { email: "", name: "", externalId: "", metadata: "" },
    LABELS,
  );
  const { run, pending, failure } = useChange(CreateCustomerDocument, "createCustomer");
  const remove = useChange(DeleteCustomerDocument, "deleteCustomer");

  async function submit(event: FormEvent) {
    event.preventDefault();
    const metadata = parseObject(values.metadata);
    if ("error" in metadata) {
      setErrors({ metadata: metadata.error });
      return;
    }
    const outcome = await run({
      appSlug,
      email: values.email,
      name: orNull(values.name),
      externalId: orNull(values.externalId),
      metadata: metadata.value,
    });
    const customer = outcome.done && outcome.payload.customer;
    if (!customer) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onCreated(customer.id);
    say({
      text: (
        <>
          <bdi>{customer.email}</bdi> was added.
        </>
      ),
      undo: async () => {
        const outcome = await remove.run({ id: customer.id });
        if (outcome.done) onUndone(customer.id);
        return outcome;
      },
      undone: (
        <>
          <bdi>{customer.email}</bdi> was removed.
        </>
      ),
    });
  }

  return (
    <Dialog title="New customer" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <CustomerFields bind={bind} errors={errors} />
        {hasMetadata || errors.metadata ? (
          <MetadataField error={errors.metadata} control={{ ...bind("metadata"), rows: 6 }} />
        ) : (
          <div>
            <Button size="small" onClick={() => setHasMetadata(true)}>
              Add metadata
            </Button>
          </div>
        )}
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Create customer
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

/** The dialog that edits a customer. The change can be undone. */
export function EditCustomer({
  customer,
  onClose,
}: {
  customer: CustomerDetailsFragment;
  onClose: () => void;
}) {
  const say = useToast();
  const { form, values, errors, bind, blame, changes } = useForm(
    { email: customer.email, name: customer.name ?? "", externalId: customer.externalId ?? "" },
    SUBJECTS,
  );
  const { run, pending, failure } = useChange(UpdateCustomerDocument, "updateCustomer");

  async function submit(event: FormEvent) {
    event.preventDefault();
    const { id, email, name, externalId } = customer;
    const after = { email: values.email, name: orNull(values.name), externalId: orNull(values.externalId) };
    const before = { email, name, externalId };
    if (changes.length === 0) {
      onClose();
      return;
    }
    const outcome = await run({ id, ...only(after, changes) });
    if (!outcome.done) {
      blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: "Customer changed.",
      undo: () => run({ id, ...only(before, changes) }),
      undone: "The change to the customer was undone.",
    });
  }

  return (
    <Dialog title="Edit customer" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <CustomerFields bind={bind} errors={errors} />
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Save
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

const SUBJECTS = { ...LABELS, id: "the customer" };

/** The fields of a customer's details. */
function CustomerFields({
  bind,
  errors,
}: {
  bind: (name: "email" | "name" | "externalId") => ComponentProps<"input">;
  errors: Record<string, string>;
}) {
  return (
    <>
      <Field label={LABELS.email} error={errors.email} required>
        {/* Not type="email": Chrome would return the domain in Punycode. */}
        {(props) => (
          <input
            {...props}
            {...bind("email")}
            inputMode="email"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
          />
        )}
      </Field>
      <Field label={LABELS.name} error={errors.name}>
        {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
      </Field>
      <Field
        label={LABELS.externalId}
        error={errors.externalId}
        hint="The customer's id in your shop or CRM."
      >
        {(props) => <input {...props} {...bind("externalId")} autoComplete="off" spellCheck={false} />}
      </Field>
    </>
  );
}
