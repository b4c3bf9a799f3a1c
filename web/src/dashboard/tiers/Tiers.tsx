import { type FormEvent, useState } from "react";
import { Catalog, DeleteEntry, SlugField } from "../apps/Catalog";
import type { AppView } from "../apps/Settings";
import styles from "../apps/Settings.module.css";
import { useChange } from "../client/useChange";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import {
  CreateTierDocument,
  DeleteTierDocument,
  type TierDetailsFragment,
  UpdateTierDocument,
} from "../graph/graphql";

/** The levels that an app is sold at. */
export function Tiers({ app }: { app: AppView }) {
  return (
    <Catalog
      noun="tier"
      title="Tiers"
      lead="The levels that the app is sold at, each with its features."
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

const LABELS = { name: "Name", slug: "Slug", features: "Features" };
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
  const { form, values, errors, bind, blame } = useForm(
    { name: tier?.name ?? "", slug: tier?.slug ?? "", features: "" },
    SUBJECTS,
  );
  const slugsBefore = tier?.features.map((feature) => feature.slug) ?? [];
  const [features, setFeatures] = useState<readonly string[]>(slugsBefore);
  const create = useChange(CreateTierDocument, "createTier");
  const update = useChange(UpdateTierDocument, "updateTier");
  const remove = useChange(DeleteTierDocument, "deleteTier");
  const pending = create.pending || update.pending;

  async function submit(event: FormEvent) {
    event.preventDefault();
    const { name, slug } = values;
    const outcome = tier
      ? await update.run({ id: tier.id, name, features: [...features] })
      : await create.run({ appSlug: app.slug, slug, name, features: [...features] });
    const saved = outcome.done && outcome.payload.tier;
    if (!saved) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: tier ? "Tier changed. Tokens take it up when they are made anew." : "Tier added.",
      undo: () =>
        tier
          ? update.run({ id: tier.id, name: tier.name, features: slugsBefore })
          : remove.run({ id: saved.id }),
      undone: "The tiers are as before.",
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
            hint="Its name in tokens. It never changes."
            control={bind("slug")}
          />
        )}
        {app.features.nodes.length > 0 && (
          <FieldGroup label={LABELS.features} error={errors.features}>
            <div className={forms.choices}>
              {app.features.nodes.map(({ slug, name }) => (
                <label key={slug} className={forms.choice}>
                  <input
                    type="checkbox"
                    checked={features.includes(slug)}
                    onChange={(event) =>
                      setFeatures(
                        event.target.checked ? [...features, slug] : features.filter((each) => each !== slug),
                      )
                    }
                  />
                  <bdi>{name}</bdi>
                </label>
              ))}
            </div>
          </FieldGroup>
        )}
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
  const { id, slug, name, position } = tier;
  const features = tier.features.map((feature) => feature.slug);
  return (
    <DeleteEntry
      noun="tier"
      name={name}
      subjects={SUBJECTS}
      pending={pending}
      run={() => run({ id })}
      again={() => create.run({ appSlug: app.slug, slug, name, position, features })}
    />
  );
}
