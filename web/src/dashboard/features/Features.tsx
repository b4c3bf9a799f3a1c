import type { FormEvent } from "react";
import { Catalog, DeleteEntry, SlugField } from "../apps/Catalog";
import type { AppView } from "../apps/Settings";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { only, orNull, useForm } from "../design/useForm";
import {
  CreateFeatureDocument,
  DeleteFeatureDocument,
  type FeatureDetailsFragment,
  UpdateFeatureDocument,
} from "../graph/graphql";
import { featuresOf } from "./features";

/** The features of an app. Tiers and licenses can include them. */
export function Features({ app }: { app: AppView }) {
  return (
    <Catalog
      noun="feature"
      title="Features"
      lead="What a license can include, through its tier or individually."
      entries={featuresOf(app)}
      about={({ description }) => description && <span>{description}</span>}
      form={(feature, onClose) => <FeatureForm app={app} feature={feature} onClose={onClose} />}
      deletion={(feature) => <DeleteFeature app={app} feature={feature} />}
    />
  );
}

const LABELS = { name: "Name", slug: "Slug", description: "Description" };
const SUBJECTS = { ...LABELS, id: "the feature" };

function FeatureForm({
  app,
  feature,
  onClose,
}: {
  app: AppView;
  feature: FeatureDetailsFragment | null;
  onClose: () => void;
}) {
  const say = useToast();
  const { form, values, errors, bind, blame, changes } = useForm(
    { name: feature?.name ?? "", slug: feature?.slug ?? "", description: feature?.description ?? "" },
    SUBJECTS,
  );
  const create = useChange(CreateFeatureDocument, "createFeature");
  const update = useChange(UpdateFeatureDocument, "updateFeature");
  const remove = useChange(DeleteFeatureDocument, "deleteFeature");
  const pending = create.pending || update.pending;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (feature && changes.length === 0) {
      onClose();
      return;
    }
    const { name, slug } = values;
    const description = orNull(values.description);
    const outcome = feature
      ? await update.run({ id: feature.id, ...only({ name, description }, changes) })
      : await create.run({ appSlug: app.slug, slug, name, description });
    const saved = outcome.done && outcome.payload.feature;
    if (!saved) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: feature ? "Feature changed." : "Feature added.",
      undo: () =>
        feature ? update.run({ id: feature.id, ...only(feature, changes) }) : remove.run({ id: saved.id }),
      undone: feature ? "The change to the feature was undone." : "The feature was removed.",
    });
  }

  return (
    <Dialog title={feature ? "Edit feature" : "New feature"} onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label={LABELS.name} error={errors.name} required>
          {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
        </Field>
        {!feature && (
          <SlugField
            label={LABELS.slug}
            error={errors.slug}
            hint="Identifies the feature in tokens. It cannot be changed later."
            control={bind("slug")}
          />
        )}
        <Field label={LABELS.description} error={errors.description}>
          {(props) => <textarea {...props} {...bind("description")} rows={2} />}
        </Field>
        <FormErrors error={errors[""]} failure={create.failure ?? update.failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            {feature ? "Save" : "Add feature"}
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

function DeleteFeature({ app, feature }: { app: AppView; feature: FeatureDetailsFragment }) {
  const { run, pending } = useChange(DeleteFeatureDocument, "deleteFeature");
  const create = useChange(CreateFeatureDocument, "createFeature");
  const { id, slug, name, description } = feature;
  return (
    <DeleteEntry
      noun="feature"
      name={name}
      subjects={SUBJECTS}
      pending={pending}
      run={() => run({ id })}
      again={() => create.run({ appSlug: app.slug, slug, name, description })}
    />
  );
}
