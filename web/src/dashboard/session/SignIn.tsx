/** Where the user enters a key: to sign in, and again if the server no longer accepts it. */

import { Eye, EyeOff, KeyRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import mark from "../../mark.svg";
import type { Failure } from "../client/failures";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FailureNote } from "../design/States";
import { useTitle } from "../design/useTitle";
import type { Viewer } from "./Session";
import styles from "./SignIn.module.css";

type SignInWith = (key: string) => Promise<Failure | null>;

/** The page that is shown at every URL until someone is signed in. */
export function SignIn({ signIn, failure }: { signIn: SignInWith; failure: Failure | null }) {
  useTitle("Sign in");
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <img src={mark} alt="" width={44} height={44} />
        <h1>Sign in to Licensegraph</h1>
        <p className={styles.lead}>
          Use an API key of your account. A secret key can view and change everything. A restricted key can do
          what its scopes allow. A public key can only view data.
        </p>
        <KeyForm signIn={signIn} before={failure} />
        <p className={styles.note}>
          To create a key, run <code>./licensegraph keys create --kind secret</code> in the server’s folder.
          This browser forgets the key when you close its last tab.
        </p>
      </div>
    </main>
  );
}

/** Shown on top of the view if the key is rejected during a session. Text that was typed into the view is kept. */
export function SignInAgain({
  viewer,
  signIn,
  signOut,
}: {
  viewer: Viewer;
  signIn: SignInWith;
  signOut: () => void;
}) {
  return (
    <Dialog title="Your key no longer works" onClose={null}>
      <p>
        The key {viewer.keyName && <bdi>{viewer.keyName}</bdi>} ending in <code>{viewer.keyLast4}</code> has
        been revoked or has expired. Enter another key to continue. What you have typed is still there.
      </p>
      <KeyForm signIn={signIn} before={null}>
        <Button onClick={signOut}>Sign out</Button>
      </KeyForm>
    </Dialog>
  );
}

function KeyForm({
  signIn,
  before,
  children,
}: {
  signIn: SignInWith;
  before: Failure | null;
  children?: React.ReactNode;
}) {
  const [key, setKey] = useState("");
  const [isShown, setIsShown] = useState(false);
  const [isPending, setIsPending] = useState(false);
  const [failure, setFailure] = useState(before);
  const [isBlank, setIsBlank] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const given = key.trim();
    setIsBlank(!given);
    if (!given || isPending) return;
    setIsPending(true);
    setFailure(null);
    const failed = await signIn(given);
    setIsPending(false);
    setFailure(failed);
  }

  const error = isBlank
    ? "Enter a key."
    : failure?.kind === "key"
      ? REFUSED
      : failure?.kind === "unfit"
        ? failure.message
        : undefined;
  return (
    <form className={styles.form} onSubmit={submit} noValidate>
      <Field label="Key" error={error}>
        {(props) => (
          <span className={styles.key}>
            <KeyRound size={16} aria-hidden />
            <input
              {...props}
              type={isShown ? "text" : "password"}
              value={key}
              onChange={(event) => setKey(event.target.value)}
              placeholder="sk_live_…"
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
              autoFocus
            />
            <button
              type="button"
              onClick={() => setIsShown(!isShown)}
              aria-label={isShown ? "Hide the key" : "Show the key"}
            >
              {isShown ? <EyeOff size={16} aria-hidden /> : <Eye size={16} aria-hidden />}
            </button>
          </span>
        )}
      </Field>
      {failure && failure.kind !== "key" && failure.kind !== "unfit" && <FailureNote failure={failure} />}
      <div className={styles.actions}>
        <Button kind="primary" type="submit" pending={isPending}>
          Sign in
        </Button>
        {children}
      </div>
    </form>
  );
}

const REFUSED = "This key is wrong, revoked or expired.";
