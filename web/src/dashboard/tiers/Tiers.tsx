import type { FormEvent } from "react";
import { Catalog, DeleteEntry, SlugField } from "../apps/Catalog";
import type { AppView } from "../apps/Settings";
import styles from "../apps/Settings.module.css";
import { useChange } from "../client/useChange";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { only, orNull, useForm } from "../design/useForm";
import { FeatureChoices } from "../features/FeatureChoices";
import { featuresOf } from "../features/features";
import {
  CreateTierDocument,
  DeleteTierDocument,
  type TierDetailsFragment,
  UpdateTierDocument,
} from "../graph/graphql";

/** The tiers of an app. */
export function Tiers({ app }: { app: AppView }) {
  return (
    <Catalog
      noun="tier"
      title="Tiers"
      lead="The editions that you sell, such as Basic and Pro, each with its features."
      entries={app.tiers.nodes}
      about={({ features }) => (
        <span className={styles.badges}>
          {features.map((feature) => (
            <Badge key={feature.id}>{feature.name}</Badge>
          ))}
        </span>
      )}
      form={(tier, onClose) => <TierForm app={app} tier={tier} onClose={onClose} />}
      deletion={(tier) => <DeleteTier app={app} tier={tier} />}
    />
  );
}

const LABELS = { name: "Name", slug: "Slug", features: "Features", durationDays: "Term in days" };
const SUBJECTS = { ...LABELS, id: "the tier" };

function TierForm({
  app,
  tier,
  onClose,
}: {
  app: AppView;
  tier: TierDetailsFragment | null;
  onClose: () => void;
}) {
  const say = useToast();
  const slugsBefore: readonly string[] = tier?.features.map((feature) => feature.slug) ?? [];
  const daysBefore = tier?.durationDays ?? null;
  const { form, values, errors, bind, set, blame, setErrors, changes } = useForm(
    {
      name: tier?.name ?? "",
      slug: tier?.slug ?? "",
      features: slugsBefore,
      durationDays: daysBefore === null ? "" : `${daysBefore}`,
      trial: "",
    },
    SUBJECTS,
  );
  const create = useChange(CreateTierDocument, "createTier");
  const update = useChange(UpdateTierDocument, "updateTier");
  const remove = useChange(DeleteTierDocument, "deleteTier");
  const pending = create.pending || update.pending;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (tier && changes.length === 0) {
      onClose();
      return;
    }
    const { name, slug, features } = values;
    const days = orNull(values.durationDays);
    if (days !== null && !/^\d{1,9}$/.test(days)) {
      setErrors({ durationDays: "Enter a whole number of days." });
      return;
    }
    const fields = { name, features: [...features], durationDays: days === null ? null : Number(days) };
    const outcome = tier
      ? await update.run({ id: tier.id, ...only(fields, changes) })
      : await create.run({ appSlug: app.slug, slug, trial: values.trial !== "", ...fields });
    const saved = outcome.done && outcome.payload.tier;
    if (!saved) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: tier ? "Tier changed. New tokens include the change." : "Tier added.",
      undo: () =>
        tier
          ? update.run({
              id: tier.id,
              ...only({ name: tier.name, features: [...slugsBefore], durationDays: daysBefore }, changes),
            })
          : remove.run({ id: saved.id }),
      undone: tier ? "The change to the tier was undone." : "The tier was removed.",
    });
  }

  return (
    <Dialog title={tier ? "Edit tier" : "New tier"} onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label={LABELS.name} error={errors.name} required>
          {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
        </Field>
        {!tier && (
          <SlugField
            label={LABELS.slug}
            error={errors.slug}
            hint="Identifies the tier in tokens. It cannot be changed later."
            control={bind("slug")}
          />
        )}
        <Field
          label={LABELS.durationDays}
          error={errors.durationDays}
          hint="The term of licenses that are issued or renewed without another one. Leave empty for none."
        >
          {(props) => <input {...props} {...bind("durationDays")} inputMode="numeric" autoComplete="off" />}
        </Field>
        {!tier && (
          <label className={forms.choice}>
            <input
              type="checkbox"
              checked={values.trial !== ""}
              onChange={({ target }) => set("trial", target.checked ? "trial" : "")}
            />
            <span>
              Trial
              <span className={forms.about}>
                Each customer and each installation can have one. This cannot be changed later.
              </span>
            </span>
          </label>
        )}
        <FeatureChoices
          label={LABELS.features}
          error={errors.features}
          features={featuresOf(app)}
          chosen={values.features}
          onChange={(slugs) => set("features", slugs)}
        />
        <FormErrors error={errors[""]} failure={create.failure ?? update.failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            {tier ? "Save" : "Add tier"}
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

function DeleteTier({ app, tier }: { app: AppView; tier: TierDetailsFragment }) {
  const { run, pending } = useChange(DeleteTierDocument, "deleteTier");
  const create = useChange(CreateTierDocument, "createTier");
  const { id, slug, name, position, trial, durationDays } = tier;
  const features = tier.features.map((feature) => feature.slug);
  return (
    <DeleteEntry
      noun="tier"
      name={name}
      subjects={SUBJECTS}
      pending={pending}
      run={() => run({ id })}
      again={() => create.run({ appSlug: app.slug, slug, name, position, features, trial, durationDays })}
    />
  );
}
