import { Pencil, Plus, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import type { AppView } from "../apps/Settings";
import styles from "../apps/Settings.module.css";
import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import {
  CreateFeatureDocument,
  DeleteFeatureDocument,
  type FeatureDetailsFragment,
  UpdateFeatureDocument,
} from "../graph/graphql";
import { useSession } from "../session/Session";

/** What an app can do, to be switched on by tiers and by single licenses. */
export function Features({ app }: { app: AppView }) {
  const { canWrite } = useSession();
  const [open, setOpen] = useState<FeatureDetailsFragment | "new" | null>(null);
  const { nodes } = app.features;
  return (
    <section className={styles.section} aria-labelledby="features">
      <div className={styles.intro}>
        <h2 id="features">Features</h2>
        <p>What licenses switch on: through their tier, or one by one.</p>
      </div>
      <div className={styles.panel}>
        {nodes.length === 0 && <p className={styles.quiet}>There are none yet.</p>}
        <ul className={styles.rows}>
          {nodes.map((feature) => (
            <li key={feature.id}>
              <div className={styles.what}>
                <strong>
                  <bdi>{feature.name}</bdi>
                </strong>
                <code>{feature.slug}</code>
                {feature.description && <span>{feature.description}</span>}
              </div>
              {canWrite && (
                <>
                  <Button
                    size="small"
                    kind="quiet"
                    aria-label={`Edit feature ${feature.name}`}
                    onClick={() => setOpen(feature)}
                  >
                    <Pencil size={15} aria-hidden />
                  </Button>
                  <DeleteFeature app={app} feature={feature} />
                </>
              )}
            </li>
          ))}
        </ul>
        {canWrite && (
          <Button size="small" onClick={() => setOpen("new")}>
            <Plus size={15} aria-hidden /> Add feature
          </Button>
        )}
      </div>
      {open && <FeatureForm app={app} feature={open === "new" ? null : open} onClose={() => setOpen(null)} />}
    </section>
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
  const { form, values, errors, bind, blame } = useForm(
    { name: feature?.name ?? "", slug: feature?.slug ?? "", description: feature?.description ?? "" },
    SUBJECTS,
  );
  const create = useChange(CreateFeatureDocument, "createFeature");
  const update = useChange(UpdateFeatureDocument, "updateFeature");
  const remove = useChange(DeleteFeatureDocument, "deleteFeature");
  const pending = create.pending || update.pending;

  async function submit(event: FormEvent) {
    event.preventDefault();
    const { name, slug } = values;
    const description = orNull(values.description);
    const outcome = feature
      ? await update.run({ id: feature.id, name, description })
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
        feature
          ? update.run({ id: feature.id, name: feature.name, description: feature.description })
          : remove.run({ id: saved.id }),
      undone: "The features are as before.",
    });
  }

  return (
    <Dialog title={feature ? "Edit feature" : "New feature"} onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label={LABELS.name} error={errors.name} required>
          {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
        </Field>
        {!feature && (
          <Field
            label={LABELS.slug}
            error={errors.slug}
            hint="Its name in tokens. It never changes."
            required
          >
            {(props) => (
              <input
                {...props}
                {...bind("slug")}
                autoComplete="off"
                autoCapitalize="none"
                spellCheck={false}
              />
            )}
          </Field>
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

/** A feature that a tier or a license has cannot be deleted; any other can be made again. */
function DeleteFeature({ app, feature }: { app: AppView; feature: FeatureDetailsFragment }) {
  const say = useToast();
  const { run, pending } = useChange(DeleteFeatureDocument, "deleteFeature");
  const again = useChange(CreateFeatureDocument, "createFeature");

  async function remove() {
    const outcome = await run({ id: feature.id });
    if (!outcome.done) {
      say({
        text: sentencesOf(outcome.faults, SUBJECTS) ?? "The feature could not be deleted. Try again.",
      });
      return;
    }
    const { slug, name, description } = feature;
    say({
      text: (
        <>
          Feature <bdi>{name}</bdi> deleted.
        </>
      ),
      undo: () => again.run({ appSlug: app.slug, slug, name, description }),
      undone: (
        <>
          Feature <bdi>{name}</bdi> is back.
        </>
      ),
    });
  }

  return (
    <Button
      size="small"
      kind="quiet"
      aria-label={`Delete feature ${feature.name}`}
      pending={pending}
      onClick={() => void remove()}
    >
      <Trash2 size={15} aria-hidden />
    </Button>
  );
}
