/** Where a key is given: at first, and again when the server no longer takes the one there was. */

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

/** The page that is shown at every address until somebody is signed in. */
export function SignIn({ signIn, failure }: { signIn: SignInWith; failure: Failure | null }) {
  useTitle("Sign in");
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <img src={mark} alt="" width={44} height={44} />
        <h1>Sign in to Licensegraph</h1>
        <p className={styles.lead}>
          Use an API key of your account. A secret key can change things; a public key can look at them.
        </p>
        <KeyForm signIn={signIn} before={failure} />
        <p className={styles.note}>
          Keys are made on the server: <code>python server.py keys create</code>. This browser forgets the key
          when you close the tab.
        </p>
      </div>
    </main>
  );
}

/** Shown over the view when the key is refused in mid-session: what was typed below stays as it is. */
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
        The key ending in <code>{viewer.keyLast4}</code> has been revoked or has expired. Give another one to
        go on: what you have typed is still there.
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

  const error = isBlank ? "Enter a key." : failure?.kind === "key" ? REFUSED : undefined;
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
      {failure && failure.kind !== "key" && <FailureNote failure={failure} />}
      <div className={styles.actions}>
        <Button kind="primary" type="submit" pending={isPending}>
          Sign in
        </Button>
        {children}
      </div>
    </form>
  );
}

const REFUSED = "This server does not know this key, or it has been revoked or has expired.";
