import { type FormEvent, useState } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Choice } from "../design/Choice";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { orNull, useForm } from "../design/useForm";
import { CreateAppDocument, type SigningAlgorithm } from "../graph/graphql";

const LABELS = { name: "Name", slug: "Slug", description: "Description", webhookUrl: "Webhook URL" };

const FIRST_ALGORITHM: SigningAlgorithm = "RS256";

/** The dialog that creates an app. */
export function CreateApp({
  onClose,
  onCreated,
}: {
  onClose: () => void;
  onCreated: (slug: string) => void;
}) {
  const { form, values, errors, bind, set, blame } = useForm(
    { name: "", slug: "", description: "", webhookUrl: "", signingAlgorithm: FIRST_ALGORITHM },
    LABELS,
  );
  const [hasOwnSlug, setHasOwnSlug] = useState(false);
  const { run, pending, failure } = useChange(CreateAppDocument, "createApp");
  const slug = hasOwnSlug ? values.slug : slugOf(values.name);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const outcome = await run({
      name: values.name,
      slug,
      description: orNull(values.description),
      webhookUrl: orNull(values.webhookUrl),
      signingAlgorithm: values.signingAlgorithm,
    });
    if (outcome.done) onCreated(slug);
    else blame(outcome.faults);
  }

  const slugProps = bind("slug");
  return (
    <Dialog title="New app" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label={LABELS.name} error={errors.name} required>
          {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
        </Field>
        <Field
          label={LABELS.slug}
          error={errors.slug}
          hint="Identifies the app in URLs and tokens. It cannot be changed later."
          required
        >
          {(props) => (
            <input
              {...props}
              {...slugProps}
              value={slug}
              onChange={(event) => {
                setHasOwnSlug(true);
                slugProps.onChange(event);
              }}
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
            />
          )}
        </Field>
        <Field label={LABELS.description} error={errors.description}>
          {(props) => <textarea {...props} {...bind("description")} rows={2} />}
        </Field>
        <Field label={LABELS.webhookUrl} error={errors.webhookUrl}>
          {(props) => <input {...props} {...bind("webhookUrl")} type="url" placeholder="https://" />}
        </Field>
        <FieldGroup
          label="Signing algorithm"
          hint="It cannot be changed later. Software that verifies tokens must support it."
        >
          {ALGORITHMS.map(({ algorithm, label }) => (
            <Choice
              key={algorithm}
              name="signingAlgorithm"
              label={label}
              checked={values.signingAlgorithm === algorithm}
              onChange={() => set("signingAlgorithm", algorithm)}
            />
          ))}
        </FieldGroup>
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Create app
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

const ALGORITHMS: readonly { algorithm: SigningAlgorithm; label: string }[] = [
  { algorithm: "RS256", label: "RS256 (RSA): supported by every library" },
  { algorithm: "EDDSA", label: "EdDSA (Ed25519): short tokens, fast to sign and verify" },
];

/** Suggests a slug for a name. */
function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replace(/^-+|-+$/g, "");
}
