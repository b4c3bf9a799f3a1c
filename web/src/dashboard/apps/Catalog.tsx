/** Lists of an app's tiers or features. Both kinds of entries have a slug and a name. */

import { Pencil, Plus, Trash2 } from "lucide-react";
import { type ReactNode, useState } from "react";
import { type Subjects, sentencesOf } from "../client/faults";
import type { Outcome } from "../client/useChange";
import { Button } from "../design/Button";
import { type ControlProps, Field } from "../design/Field";
import { useToast } from "../design/Toasts";
import { useSession } from "../session/Session";
import styles from "./Settings.module.css";

interface Entry {
  id: string;
  slug: string;
  name: string;
}

interface CatalogProps<E extends Entry> {
  /** The word for one entry. */
  noun: "tier" | "feature";
  title: string;
  /** Explains what the entries are for. */
  lead: string;
  entries: readonly E[];
  /** Renders what an entry shows besides its name and slug. */
  about: (entry: E) => ReactNode;
  /** Renders the dialog that edits an entry, or adds one if the entry is null. */
  form: (entry: E | null, onClose: () => void) => ReactNode;
  /** Renders the button that deletes an entry. */
  deletion: (entry: E) => ReactNode;
}

/** A section of the settings with all tiers or all features. */
export function Catalog<E extends Entry>({
  noun,
  title,
  lead,
  entries,
  about,
  form,
  deletion,
}: CatalogProps<E>) {
  const canWrite = useSession().may("WRITE_CATALOG");
  const [open, setOpen] = useState<E | "new" | null>(null);
  return (
    <section className={styles.section} aria-labelledby={noun}>
      <div className={styles.intro}>
        <h2 id={noun}>{title}</h2>
        <p>{lead}</p>
      </div>
      <div className={styles.panel}>
        {entries.length === 0 && <p className={styles.quiet}>No {noun}s yet.</p>}
        <ul className={styles.rows}>
          {entries.map((entry) => (
            <li key={entry.id}>
              <div className={styles.what}>
                <strong>
                  <bdi>{entry.name}</bdi>
                </strong>
                <code>{entry.slug}</code>
                {about(entry)}
              </div>
              {canWrite && (
                <>
                  <Button
                    size="small"
                    kind="quiet"
                    aria-label={`Edit ${noun} ${entry.name}`}
                    onClick={() => setOpen(entry)}
                  >
                    <Pencil size={15} aria-hidden />
                  </Button>
                  {deletion(entry)}
                </>
              )}
            </li>
          ))}
        </ul>
        {canWrite && (
          <Button size="small" onClick={() => setOpen("new")}>
            <Plus size={15} aria-hidden /> Add {noun}
          </Button>
        )}
      </div>
      {open && form(open === "new" ? null : open, () => setOpen(null))}
    </section>
  );
}

/** The button that deletes an entry. The server refuses to delete an entry in use, so creating the entry again is
 *  enough to undo a deletion. */
export function DeleteEntry({
  noun,
  name,
  subjects,
  pending,
  run,
  again,
}: {
  noun: "tier" | "feature";
  name: string;
  subjects: Subjects;
  pending: boolean;
  run: () => Promise<Outcome<unknown>>;
  /** Creates the entry again. */
  again: () => Promise<Outcome<unknown>>;
}) {
  const say = useToast();
  const named = (
    <>
      The {noun} <bdi>{name}</bdi>
    </>
  );

  async function remove() {
    const outcome = await run();
    if (outcome.done)
      say({ text: <>{named} was deleted.</>, undo: again, undone: <>{named} was restored.</> });
    else
      say({ text: sentencesOf(outcome.faults, subjects) ?? `The ${noun} could not be deleted. Try again.` });
  }

  return (
    <Button
      size="small"
      kind="quiet"
      aria-label={`Delete ${noun} ${name}`}
      pending={pending}
      onClick={() => void remove()}
    >
      <Trash2 size={15} aria-hidden />
    </Button>
  );
}

/** The field for the slug of a new entry. */
export function SlugField({
  label,
  error,
  hint,
  control,
}: {
  label: string;
  error: string | undefined;
  hint: string;
  control: React.InputHTMLAttributes<HTMLInputElement>;
}) {
  return (
    <Field label={label} error={error} hint={hint} required>
      {(props: ControlProps) => (
        <input {...props} {...control} autoComplete="off" autoCapitalize="none" spellCheck={false} />
      )}
    </Field>
  );
}
