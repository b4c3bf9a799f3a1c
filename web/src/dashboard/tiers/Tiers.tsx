import { Pencil, Plus, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import type { AppView } from "../apps/Settings";
import styles from "../apps/Settings.module.css";
import { sentencesOf } from "../client/faults";
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
import { useSession } from "../session/Session";

/** The levels that an app is sold at. */
export function Tiers({ app }: { app: AppView }) {
  const { canWrite } = useSession();
  const [open, setOpen] = useState<TierDetailsFragment | "new" | null>(null);
  const { nodes } = app.tiers;
  return (
    <section className={styles.section} aria-labelledby="tiers">
      <div className={styles.intro}>
        <h2 id="tiers">Tiers</h2>
        <p>The levels that the app is sold at, each with its features.</p>
      </div>
      <div className={styles.panel}>
        {nodes.length === 0 && <p className={styles.quiet}>There are none yet.</p>}
        <ul className={styles.rows}>
          {nodes.map((tier) => (
            <li key={tier.id}>
              <div className={styles.what}>
                <strong>
                  <bdi>{tier.name}</bdi>
                </strong>
                <code>{tier.slug}</code>
                <span className={styles.badges}>
                  {tier.features.map((feature) => (
                    <Badge key={feature.id}>{feature.name}</Badge>
                  ))}
                </span>
              </div>
              {canWrite && (
                <>
                  <Button
                    size="small"
                    kind="quiet"
                    aria-label={`Edit tier ${tier.name}`}
                    onClick={() => setOpen(tier)}
                  >
                    <Pencil size={15} aria-hidden />
                  </Button>
                  <DeleteTier app={app} tier={tier} />
                </>
              )}
            </li>
          ))}
        </ul>
        {canWrite && (
          <Button size="small" onClick={() => setOpen("new")}>
            <Plus size={15} aria-hidden /> Add tier
          </Button>
        )}
      </div>
      {open && <TierForm app={app} tier={open === "new" ? null : open} onClose={() => setOpen(null)} />}
    </section>
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

/** A tier that licenses have cannot be deleted; any other can be made again. */
function DeleteTier({ app, tier }: { app: AppView; tier: TierDetailsFragment }) {
  const say = useToast();
  const { run, pending } = useChange(DeleteTierDocument, "deleteTier");
  const again = useChange(CreateTierDocument, "createTier");

  async function remove() {
    const outcome = await run({ id: tier.id });
    if (!outcome.done) {
      say({
        text: sentencesOf(outcome.faults, SUBJECTS) ?? "The tier could not be deleted. Try again.",
      });
      return;
    }
    const { slug, name, position } = tier;
    const features = tier.features.map((feature) => feature.slug);
    say({
      text: (
        <>
          Tier <bdi>{name}</bdi> deleted.
        </>
      ),
      undo: () => again.run({ appSlug: app.slug, slug, name, position, features }),
      undone: (
        <>
          Tier <bdi>{name}</bdi> is back.
        </>
      ),
    });
  }

  return (
    <Button
      size="small"
      kind="quiet"
      aria-label={`Delete tier ${tier.name}`}
      pending={pending}
      onClick={() => void remove()}
    >
      <Trash2 size={15} aria-hidden />
    </Button>
  );
}
