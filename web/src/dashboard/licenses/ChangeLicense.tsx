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
import { dateAndTime, dayOf } from "../format";
import {
  type LicenseDetailsFragment,
  UpdateLicenseDocument,
  type UpdateLicenseInput,
} from "../graph/graphql";
import { MetadataField, parseObject } from "../metadata/MetadataField";
import { type CatalogApp, faultOfInstallation, InstallationField, TierField, useCatalog } from "./fields";
import { TERM_LABELS, type Term, TermFields, termOf } from "./Term";
import { SUBJECTS } from "./useLicenseChanges";

const LABELS = {
  ...TERM_LABELS,
  tierId: "Tier",
  features: "Features",
  installationId: "Installation",
  metadata: "Metadata",
};

/** The dialog that changes a license. Only fields that the user has changed are sent. The change can be undone until
 *  someone else changes the license. */
export function ChangeLicense({
  license,
  appSlug,
  onClose,
}: {
  license: LicenseDetailsFragment;
  appSlug: string;
  onClose: () => void;
}) {
  const { app, note } = useCatalog(appSlug);
  return (
    <Dialog title="Change license" onClose={onClose} wide>
      {app ? <Fields license={license} app={app} onClose={onClose} /> : note}
    </Dialog>
  );
}

function Fields({
  license,
  app,
  onClose,
}: {
  license: LicenseDetailsFragment;
  app: CatalogApp;
  onClose: () => void;
}) {
  const say = useToast();
  const before = valuesOf(license, app);
  const { form, values, errors, bind, set, blame, setErrors, changes } = useForm(before, {
    ...SUBJECTS,
    ...LABELS,
  });
  const { run, pending, failure } = useChange(UpdateLicenseDocument, "updateLicense");
  const tiers = app.tiers.nodes;
  const ofTier = featuresOfTier(values.tierId, app);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const metadata = parseObject(values.metadata);
    const term = termOf("expiresAt", values);
    const installation = faultOfInstallation(values.installationId);
    if ("error" in metadata || "error" in term || installation) {
      setErrors({
        ...("error" in metadata && { metadata: metadata.error }),
        ...("error" in term && { [term.field]: term.error }),
        ...(installation && { installationId: installation }),
      });
      return;
    }
    const isNew = (name: keyof typeof before) => changes.includes(name);
    const hasNewTerm = Object.keys(term.value).length > 0;
    const change: Partial<UpdateLicenseInput> = {
      ...(isNew("tierId") && { tierId: orNull(values.tierId) }),
      ...(isNew("features") && { features: values.features.filter((slug) => !ofTier.includes(slug)) }),
      ...(isNew("installationId") && { installationId: values.installationId.trim() }),
      ...(isNew("metadata") && { metadata: metadata.value }),
      ...term.value,
    };
    if (Object.keys(change).length === 0) {
      onClose();
      return;
    }
    const { id } = license;
    const outcome = await run({ id, ...change });
    const changed = outcome.done && outcome.payload.license;
    if (!changed) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    const undo: UpdateLicenseInput = {
      id,
      ifVersion: changed.version,
      ...(isNew("tierId") && { tierId: orNull(before.tierId) }),
      ...(isNew("features") && { features: [...before.features] }),
      ...(isNew("installationId") && { installationId: license.installationId }),
      ...(isNew("metadata") && { metadata: license.metadata }),
      ...(hasNewTerm && (license.expiresAt ? { expiresAt: license.expiresAt } : { forever: true })),
    };
    // A license cannot be changed back to a time that has passed.
    const isFinal = hasNewTerm && license.status === "EXPIRED";
    say({
      text: "License changed.",
      ...(!isFinal && { undo: () => run(undo), undone: "The change to the license was undone." }),
    });
  }

  return (
    <form ref={form} onSubmit={submit} className={forms.form} noValidate>
      {(tiers.length > 0 || license.tier) && (
        <TierField
          error={errors.tierId}
          tiers={tiers}
          none={{ label: "No tier", disabled: false }}
          control={bind("tierId")}
        />
      )}
      <FeatureChoices
        label={LABELS.features}
        error={errors.features}
        features={featuresOf(app)}
        included={ofTier}
        chosen={values.features}
        onChange={(slugs) => set("features", slugs)}
      />
      <InstallationField
        error={errors.installationId}
        hint="With another installation, the license moves there: tokens of the old one stop working online."
        control={bind("installationId")}
      />
      <TermFields
        end="expiresAt"
        label={license.expiresAt ? `Expires ${dateAndTime(license.expiresAt)}` : "Never expires"}
        others={[{ term: "same", label: "No change" }]}
        daysHint="Counted from now."
        values={values}
        errors={errors}
        bind={bind}
        onTerm={(term) => set("term", term)}
      />
      <MetadataField error={errors.metadata} control={{ ...bind("metadata"), rows: 4 }} />
      <FormErrors error={errors[""]} failure={failure} />
      <FormActions pending={pending}>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="primary" type="submit" pending={pending}>
          Save
        </Button>
      </FormActions>
    </form>
  );
}

function valuesOf(license: LicenseDetailsFragment, app: CatalogApp) {
  const tierId = license.tier?.id ?? "";
  const ofTier = featuresOfTier(tierId, app);
  const own: readonly string[] = license.features.filter((slug) => !ofTier.includes(slug));
  return {
    tierId,
    features: own,
    installationId: license.installationId,
    term: "same" as Term | "same",
    durationDays: "365",
    expiresAt: license.expiresAt ? dayOf(license.expiresAt) : "",
    metadata: Object.keys(license.metadata).length > 0 ? JSON.stringify(license.metadata, null, 2) : "",
  };
}

const featuresOfTier = (id: string, app: CatalogApp): string[] =>
  app.tiers.nodes.find((tier) => tier.id === id)?.features.map(({ slug }) => slug) ?? [];
