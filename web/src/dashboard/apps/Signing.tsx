/** The section of an app's settings with its signing keys, and the dialog that replaces the current key. */

import { KeyRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useChange } from "../client/useChange";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Choice } from "../design/Choice";
import { Copy } from "../design/Copy";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import { counted, date, dateAndTime } from "../format";
import { type RetireOldKey, RotateAppKeysDocument, type SigningKeyDetailsFragment } from "../graph/graphql";
import { useSession } from "../session/Session";
import type { AppView } from "./Settings";
import styles from "./Settings.module.css";

const STATUS = {
  NEXT: { tone: "accent", label: "Next" },
  CURRENT: { tone: "good", label: "Current" },
  RETIRED: { tone: "plain", label: "Retired" },
} as const;

/** The app's public key, its signing keys and, if the user may rotate them, a button for that. */
export function Signing({ app, keys }: { app: AppView; keys: readonly SigningKeyDetailsFragment[] }) {
  const { may } = useSession();
  const [isRotating, setIsRotating] = useState(false);
  return (
    <section className={styles.section} aria-labelledby="signing">
      <div className={styles.intro}>
        <h2 id="signing">Signing</h2>
        <p>
          This app's license tokens are signed with {app.signingAlgorithm === "EDDSA" ? "EdDSA" : "RS256"}.
          Ship the public key with the app to verify tokens offline.
        </p>
      </div>
      <div className={styles.panel}>
        <div className={styles.panelHead}>
          <h3>Public key</h3>
          <Copy text={app.publicKeyPem} what="public key" />
        </div>
        <pre className={styles.pem} tabIndex={0} role="region" aria-label="Public key">
          {app.publicKeyPem}
        </pre>
        <h3 className={styles.subhead}>Signing keys</h3>
        <ul className={styles.rows} aria-label="Signing keys">
          {keys.map((key) => (
            <SigningKey key={key.kid} signingKey={key} />
          ))}
        </ul>
        {may("ROTATE_SIGNING_KEYS") && (
          <Button onClick={() => setIsRotating(true)}>
            <KeyRound size={15} aria-hidden /> Rotate…
          </Button>
        )}
      </div>
      {isRotating && <Rotate app={app} onClose={() => setIsRotating(false)} />}
    </section>
  );
}

function SigningKey({ signingKey }: { signingKey: SigningKeyDetailsFragment }) {
  const { kid, status } = signingKey;
  const { tone, label } = STATUS[status];
  return (
    <li>
      <div className={styles.what}>
        <span className={styles.badges}>
          <Badge tone={tone}>{label}</Badge>
          <code>{kid}</code>
        </span>
        <span className={styles.quiet}>{purposeOf(signingKey)}</span>
      </div>
      <Copy text={kid} what={`ID of the ${label.toLowerCase()} key`} />
    </li>
  );
}

/** Returns what a signing key is used for, in words. */
function purposeOf({ status, createdAt, retiredAt, publishedUntil }: SigningKeyDetailsFragment): string {
  switch (status) {
    case "NEXT":
      return `Signs after the next rotation. Published since ${date(createdAt)}.`;
    case "CURRENT":
      return `Signs all new tokens. Created ${date(createdAt)}.`;
    case "RETIRED": {
      const retired = retiredAt ? `Retired ${date(retiredAt)}. ` : "";
      return publishedUntil
        ? `${retired}Verifies older tokens until ${dateAndTime(publishedUntil)}.`
        : `${retired}Verifies older tokens. One of them never expires.`;
    }
  }
}

const SUBJECTS = { appSlug: "the app" };
const KEEP: RetireOldKey = "AFTER_LAST_EXPIRY";

/** The dialog that replaces the signing key. To drop the old keys, the user must type the app's slug. */
function Rotate({ app, onClose }: { app: AppView; onClose: () => void }) {
  const say = useToast();
  const { form, values, errors, bind, set, blame, setErrors } = useForm(
    { retire: KEEP as RetireOldKey, typed: "" },
    SUBJECTS,
  );
  const { run, pending, failure } = useChange(RotateAppKeysDocument, "rotateAppKeys");
  const isDropping = values.retire !== KEEP;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (isDropping && values.typed.trim().toLowerCase() !== app.slug) {
      setErrors({ typed: "This does not match." });
      return;
    }
    const outcome = await run({ appSlug: app.slug, retire: values.retire });
    if (!outcome.done) {
      blame(outcome.faults);
      return;
    }
    onClose();
    const licenses = outcome.payload.licensesResigned;
    say({ text: `Signing key replaced. ${counted(licenses, "license")} got a new token.` });
  }

  return (
    <Dialog title="Rotate signing keys" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <p className={styles.plain}>
          The next key becomes the current key, and every active license gets a token that is signed with it.
          This cannot be undone.
        </p>
        <FieldGroup label="Old keys">
          {CHOICES.map(({ retire, label, hint }) => (
            <Choice
              key={retire}
              name="retire"
              label={label}
              hint={hint}
              checked={values.retire === retire}
              onChange={() => set("retire", retire)}
            />
          ))}
        </FieldGroup>
        {isDropping && (
          <>
            <div className={forms.warning}>
              <p>
                Every token that was issued before stops being valid. Software must fetch a new token before
                it accepts a license again.
              </p>
            </div>
            <Field
              label="Type the app's slug to confirm"
              hint={<bdi className={forms.word}>{app.slug}</bdi>}
              error={errors.typed}
            >
              {(control) => (
                <input
                  {...control}
                  {...bind("typed")}
                  autoComplete="off"
                  autoCapitalize="none"
                  spellCheck={false}
                />
              )}
            </Field>
          </>
        )}
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind={isDropping ? "danger" : "primary"} type="submit" pending={pending}>
            Rotate
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

const CHOICES: readonly { retire: RetireOldKey; label: string; hint: string }[] = [
  {
    retire: KEEP,
    label: "Keep the old keys",
    hint: "They verify older tokens for at least 30 days after the last of these tokens expires.",
  },
  {
    retire: "IMMEDIATELY",
    label: "Drop the old keys",
    hint: "If a key has leaked. Keys that were retired earlier are dropped as well.",
  },
];
