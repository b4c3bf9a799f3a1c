import type { ReactNode } from "react";
import type { Failure } from "../client/failures";
import styles from "./Form.module.css";
import { FailureNote, SlowNote } from "./States";

/** The errors of a form that belong to no single field. If the key was rejected, the sign-in dialog says so instead. */
export function FormErrors({ error, failure }: { error: string | undefined; failure: Failure | null }) {
  return (
    <>
      {error && (
        <p className={styles.error} role="alert">
          {error}
        </p>
      )}
      {failure && failure.kind !== "key" && <FailureNote failure={failure} />}
    </>
  );
}

/** The buttons of a form, with a notice if sending the form takes a while. */
export function FormActions({ pending, children }: { pending: boolean; children: ReactNode }) {
  return (
    <div className={styles.actions}>
      {pending && <SlowNote text="The server is slow to respond. What you typed is still here." />}
      <span className={styles.space} />
      {children}
    </div>
  );
}
