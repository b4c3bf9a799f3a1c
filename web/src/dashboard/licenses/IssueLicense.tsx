import type { FormEvent } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { FeatureChoices } from "../features/FeatureChoices";
import { featuresOf } from "../features/features";
import { CreateLicenseDocument, type CustomerQuery, DeleteLicenseDocument } from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";
import { faultOfInstallation, InstallationField, TierField, useCatalog } from "./fields";
import { TERM_LABELS, type Term, TermFields, termOf } from "./Term";

const LABELS = {
  ...TERM_LABELS,
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
  const { features } = values;
  const { app, tiers, note, isLoaded } = useCatalog(customer.app.slug);
  const { run, pending, failure } = useChange(CreateLicenseDocument, "createLicense");
  const remove = useChange(DeleteLicenseDocument, "deleteLicense");
  const tier = tiers.find((each) => each.id === values.tierId);
  const ofTier = tier?.features.map((feature) => feature.slug) ?? [];

  async function submit(event: FormEvent) {
    event.preventDefault();
    const metadata = parseObject(values.metadata);
    const until = termOf("expiresAt", values);
    const installation = orNull(values.installationId);
    const installationFault = installation === null ? null : faultOfInstallation(installation);
    const isTierMissing = tiers.length > 0 && !tier;
    if ("error" in metadata || "error" in until || installationFault || isTierMissing) {
      setErrors({
        ...(isTierMissing && { tierId: "Choose a tier." }),
        ...("error" in metadata && { metadata: metadata.error }),
        ...("error" in until && { [until.field]: until.error }),
        ...(installationFault && { installationId: installationFault }),
      });
      return;
    }
    const outcome = await run({
      customerId: customer.id,
      ...until.value,
      tierId: orNull(values.tierId),
      features: features.filter((slug) => !ofTier.includes(slug)),
      installationId: installation,
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
        <TermFields
          end="expiresAt"
          values={values}
          errors={errors}
          bind={bind}
          onTerm={(term) => set("term", term)}
        />
        {note}
        {tiers.length > 0 && (
          <TierField
            error={errors.tierId}
            tiers={tiers}
            none={{ label: "Choose a tier", disabled: true }}
            control={bind("tierId")}
          />
        )}
        {app && (
          <FeatureChoices
            label={LABELS.features}
            error={errors.features}
            features={featuresOf(app)}
            included={ofTier}
            chosen={features}
            onChange={(slugs) => set("features", slugs)}
          />
        )}
        <InstallationField
          error={errors.installationId}
          hint="The UUID of the customer's installation. Leave empty to create one."
          control={bind("installationId")}
        />
        <MetadataField
          error={errors.metadata}
          control={{ ...bind("metadata"), rows: 3, placeholder: '{"seats": 5}' }}
        />
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending} disabled={!isLoaded}>
            Issue license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
