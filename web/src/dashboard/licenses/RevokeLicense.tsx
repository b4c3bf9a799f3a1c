import type { FormEvent } from "react";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { orNull, useForm } from "../design/useForm";
import type { LicenseDetailsFragment } from "../graph/graphql";
import { SUBJECTS, useLicenseChanges } from "./useLicenseChanges";

/** The dialog that revokes a license with a reason. */
export function RevokeWithReason({
  license,
  onClose,
}: {
  license: LicenseDetailsFragment;
  onClose: () => void;
}) {
  const change = useLicenseChanges(license);
  const { form, values, errors, bind, blame } = useForm({ reason: "" }, SUBJECTS);
  async function submit(event: FormEvent) {
    event.preventDefault();
    const outcome = await change.revokeWithReason(orNull(values.reason));
    if (outcome.done) onClose();
    else blame(outcome.faults);
  }
  return (
    <Dialog title="Revoke license" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label="Reason" hint="For your records. At most 500 characters." error={errors.reason}>
          {(props) => <textarea {...props} {...bind("reason")} rows={3} />}
        </Field>
        <FormErrors error={errors[""]} failure={change.failure} />
        <FormActions pending={change.pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={change.pending}>
            Revoke license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
