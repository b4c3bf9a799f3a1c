import type { FormEvent } from "react";
import { useQuery } from "urql";
import { useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Segment } from "../design/Choice";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { FeatureChoices } from "../features/FeatureChoices";
import { featuresOf } from "../features/features";
import { endOfDay } from "../format";
import {
  CatalogDocument,
  CreateLicenseDocument,
  type CreateLicenseInput,
  type CustomerQuery,
  DeleteLicenseDocument,
} from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";
import styles from "./Licenses.module.css";

// If GraphQL's types reject a value, the error is not a userError, so the form could not show it next to the field. The
// form therefore checks the types of values first.
const UUID_DIGITS = "(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})";
const UUID = new RegExp(`^(?:(?:urn:uuid:)?${UUID_DIGITS}|\\{${UUID_DIGITS}\\})$`, "i");

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

const INITIAL = {
  term: "days" as Term,
  durationDays: "365",
  expiresAt: "",
  tierId: "",
  features: [] as readonly string[],
  installationId: "",
  metadata: "",
};

/** The dialog that issues a license to a customer. If the app has tiers, one of them must be chosen. */
export function IssueLicense({
  customer,
  onClose,
}: {
  customer: NonNullable<CustomerQuery["customer"]>;
  onClose: () => void;
}) {
  const say = useToast();
  const { form, values, errors, bind, set, blame, setErrors } = useForm(INITIAL, SUBJECTS);
  const { term, features } = values;
  const [{ data, error }, again] = useQuery({
    query: CatalogDocument,
    variables: { slug: customer.app.slug },
    requestPolicy: "cache-and-network",
  });
  const catalogFailure = useFailure(error);
  const { run, pending, failure } = useChange(CreateLicenseDocument, "createLicense");
  const remove = useChange(DeleteLicenseDocument, "deleteLicense");
  const tiers = data?.app?.tiers.nodes ?? [];
  const tier = tiers.find((each) => each.id === values.tierId);
  const ofTier = tier?.features.map((feature) => feature.slug) ?? [];

  async function submit(event: FormEvent) {
    event.preventDefault();
    const metadata = parseObject(values.metadata);
    const until = termOf(term, values);
    const isInstallation = values.installationId.trim() === "" || UUID.test(values.installationId.trim());
    const isTierMissing = tiers.length > 0 && !tier;
    if ("error" in metadata || "error" in until || !isInstallation || isTierMissing) {
      setErrors({
        ...(isTierMissing && { tierId: "Choose a tier." }),
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
      features: features.filter((slug) => !ofTier.includes(slug)),
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
      undone: "The license was deleted.",
    });
  }

  return (
    <Dialog title="Issue license" onClose={onClose} wide>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <FieldGroup label="Valid">
          <div className={forms.segments}>
            {TERMS.map((each) => (
              <Segment
                key={each.term}
                name="term"
                label={each.label}
                checked={term === each.term}
                onChange={() => set("term", each.term)}
              />
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
            hint="The license expires at the end of this day."
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
          <Field label={LABELS.tierId} error={errors.tierId} required>
            {(props) => (
              <select {...props} {...bind("tierId")}>
                <option value="" disabled>
                  Choose a tier
                </option>
                {tiers.map((each) => (
                  <option key={each.id} value={each.id}>
                    {each.name}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        {data?.app && (
          <FeatureChoices
            label={LABELS.features}
            error={errors.features}
            features={featuresOf(data.app)}
            included={ofTier}
            chosen={features}
            onChange={(slugs) => set("features", slugs)}
          />
        )}
        <Field
          label={LABELS.installationId}
          error={errors.installationId}
          hint="The UUID of the customer's installation. Leave empty to create one."
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
          <Button kind="primary" type="submit" pending={pending} disabled={!data}>
            Issue license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

type TermInput = Pick<CreateLicenseInput, "durationDays" | "expiresAt" | "forever">;

/** Returns how long the license is valid, as input fields, or an error and its field. */
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
      const end = endOfDay(expiresAt);
      return end ? { value: { expiresAt: end } } : { field: "expiresAt", error: "Enter a date." };
    }
  }
}
