import type { FormEvent } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Choice } from "../design/Choice";
import { Dialog } from "../design/Dialog";
import { FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useForm } from "../design/useForm";
import { type KeyDetailsFragment, RotateApiKeyDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import styles from "./Key.module.css";
import { useShowToken } from "./Token";
import { nameOf } from "./words";

const OVERLAPS = [
  { hours: "24", label: "For 24 hours", note: "The old key works for 24 more hours." },
  { hours: "168", label: "For 7 days", note: "The old key works for 7 more days." },
  { hours: "1", label: "For one hour", note: "The old key works for one more hour." },
  { hours: "0", label: "Not at all", note: "The old key no longer works." },
] as const;

/** The dialog that gives a key a new token. The old token can work for some more time, so that it can be
 *  replaced everywhere. */
export function RotateKey({ apiKey, onClose }: { apiKey: KeyDetailsFragment; onClose: () => void }) {
  const showToken = useShowToken();
  const { viewer, signIn } = useSession();
  const { run, pending, failure } = useChange(RotateApiKeyDocument, "rotateApiKey");
  const { form, values, errors, set, blame } = useForm(
    { overlapHours: "24" as string },
    { id: "the key", overlapHours: "The overlap" },
  );
  const isOwn = apiKey.id === viewer.keyId;

  async function submit(event: FormEvent) {
    event.preventDefault();
    const outcome = await run({ id: apiKey.id, overlapHours: Number(values.overlapHours) });
    const token = outcome.done && outcome.payload.token;
    if (!token) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    const note = OVERLAPS.find(({ hours }) => hours === values.overlapHours)?.note;
    showToken({ token, name: nameOf(apiKey), note });
    if (isOwn) void signIn(token);
  }

  return (
    <Dialog title="Rotate key" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <p className={styles.quiet}>
          The key gets a new token, with the same scopes. Replace the old token everywhere before it stops
          working. If you rotate the key again, the old token stops working at once.
          {isOwn && " You stay signed in, with the new token."}
        </p>
        <FieldGroup label="The old key keeps working" error={errors.overlapHours}>
          {OVERLAPS.map(({ hours, label }) => (
            <Choice
              key={hours}
              name="overlapHours"
              label={label}
              checked={values.overlapHours === hours}
              onChange={() => set("overlapHours", hours)}
            />
          ))}
        </FieldGroup>
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Rotate key
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
