import { type FormEvent, useState } from "react";
import { useQuery } from "urql";
import { useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { asMoment } from "../format";
import {
  CatalogDocument,
  CreateLicenseDocument,
  type CreateLicenseInput,
  type CustomerQuery,
  DeleteLicenseDocument,
} from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";
import styles from "./Licenses.module.css";

// What the graph's types do not take at all is refused without a fault at a field: it is not sent.
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const LAST_YEAR = 9999;

type Term = "days" | "until" | "forever";

const TERMS: readonly { term: Term; label: string }[] = [
  { term: "days", label: "For a number of days" },
  { term: "until", label: "Until a date" },
  { term: "forever", label: "Forever" },
];

const LABELS = {
  durationDays: "Days",
  expiresAt: "Last day",
  tierId: "Tier",
  features: "Features",
  installationId: "Installation",
  metadata: "Metadata",
};
const SUBJECTS = { ...LABELS, customerId: "the customer" };

/** Asks what license the customer is to get, and issues it. */
export function IssueLicense({
  customer,
  onClose,
}: {
  customer: NonNullable<CustomerQuery["customer"]>;
  onClose: () => void;
}) {
  const say = useToast();
  const [term, setTerm] = useState<Term>("days");
  const [features, setFeatures] = useState<ReadonlySet<string>>(new Set());
  const { form, values, errors, bind, blame, setErrors } = useForm(
    { durationDays: "365", expiresAt: "", tierId: "", features: "", installationId: "", metadata: "" },
    SUBJECTS,
  );
  const [{ data, error }, again] = useQuery({
    query: CatalogDocument,
    variables: { slug: customer.app.slug },
  });
  const catalogFailure = useFailure(error);
  const { run, pending, failure } = useChange(CreateLicenseDocument, "createLicense");
  const remove = useChange(DeleteLicenseDocument, "deleteLicense");
  const tiers = data?.app?.tiers.nodes ?? [];
  const tier = tiers.find((each) => each.id === values.tierId);
  const ofTier = new Set(tier?.features.map((feature) => feature.slug));

  async function submit(event: FormEvent) {
    event.preventDefault();
    const metadata = parseObject(values.metadata);
    const until = termOf(term, values);
    const isInstallation = values.installationId.trim() === "" || UUID.test(values.installationId.trim());
    if ("error" in metadata || "error" in until || !isInstallation) {
      setErrors({
        ...("error" in metadata && { metadata: metadata.error }),
        ...("error" in until && { [until.field]: until.error }),
        ...(!isInstallation && {
          installationId: "Enter a UUID, such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11.",
        }),
      });
      return;
    }
    const outcome = await run({
      customerId: customer.id,
      ...until.value,
      tierId: orNull(values.tierId),
      features: [...features].filter((slug) => !ofTier.has(slug)),
      installationId: orNull(values.installationId),
      metadata: metadata.value,
    });
    const license = outcome.done && outcome.payload.license;
    if (!license) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: "License issued.",
      undo: () => remove.run({ id: license.id }),
      undone: "The license was taken back.",
    });
  }

  return (
    <Dialog title="Issue license" onClose={onClose} wide>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <FieldGroup label="How long">
          <div className={forms.segments}>
            {TERMS.map((each) => (
              <label key={each.term}>
                <input
                  type="radio"
                  name="term"
                  checked={term === each.term}
                  onChange={() => setTerm(each.term)}
                />
                <span>{each.label}</span>
              </label>
            ))}
          </div>
        </FieldGroup>
        {term === "days" && (
          <Field label={LABELS.durationDays} error={errors.durationDays} required>
            {(props) => <input {...props} {...bind("durationDays")} inputMode="numeric" autoComplete="off" />}
          </Field>
        )}
        {term === "until" && (
          <Field
            label={LABELS.expiresAt}
            error={errors.expiresAt}
            hint="It expires when this day ends."
            required
          >
            {(props) => <input {...props} {...bind("expiresAt")} type="date" />}
          </Field>
        )}
        {catalogFailure && !data && (
          <FailureNote failure={catalogFailure} retry={() => again({ requestPolicy: "network-only" })} />
        )}
        {!data && !catalogFailure && <p className={styles.catalog}>Loading tiers and features…</p>}
        {tiers.length > 0 && (
          <Field label={LABELS.tierId} error={errors.tierId}>
            {(props) => (
              <select {...props} {...bind("tierId")}>
                <option value="">No tier</option>
                {tiers.map((each) => (
                  <option key={each.id} value={each.id}>
                    {each.name}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        {data?.app && data.app.features.nodes.length > 0 && (
          <FieldGroup label={LABELS.features} error={errors.features} hint="Those of the tier are always in.">
            <div className={forms.choices}>
              {data.app.features.nodes.map(({ slug, name }) => (
                <label key={slug} className={forms.choice}>
                  <input
                    type="checkbox"
                    checked={ofTier.has(slug) || features.has(slug)}
                    disabled={ofTier.has(slug)}
                    onChange={(event) => {
                      const after = new Set(features);
                      if (event.target.checked) after.add(slug);
                      else after.delete(slug);
                      setFeatures(after);
                    }}
                  />
                  <bdi>{name}</bdi>
                </label>
              ))}
            </div>
          </FieldGroup>
        )}
        <Field
          label={LABELS.installationId}
          error={errors.installationId}
          hint="A UUID that the app knows itself by; made when left empty."
        >
          {(props) => <input {...props} {...bind("installationId")} autoComplete="off" spellCheck={false} />}
        </Field>
        <MetadataField
          error={errors.metadata}
          control={{ ...bind("metadata"), rows: 3, placeholder: '{"seats": 5}' }}
        />
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Issue license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

type TermInput = Pick<CreateLicenseInput, "durationDays" | "expiresAt" | "forever">;

/** How long the license is to hold, as the graph takes it. */
function termOf(
  term: Term,
  { durationDays, expiresAt }: { durationDays: string; expiresAt: string },
): { value: TermInput } | { error: string; field: string } {
  switch (term) {
    case "forever":
      return { value: { forever: true } };
    case "days":
      return /^\d{1,9}$/.test(durationDays.trim())
        ? { value: { durationDays: Number(durationDays) } }
        : { field: "durationDays", error: "Enter a whole number of days." };
    case "until": {
      const end = new Date(`${expiresAt}T00:00:00`);
      if (!(end.getFullYear() <= LAST_YEAR)) return { field: "expiresAt", error: "Enter a date." };
      // Its last second, so that it is this day that is shown.
      end.setHours(23, 59, 59);
      return { value: { expiresAt: asMoment(end) } };
    }
  }
}
