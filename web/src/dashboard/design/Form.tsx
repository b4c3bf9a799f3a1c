import type { ReactNode } from "react";
import type { Failure } from "../client/failures";
import styles from "./Form.module.css";
import { FailureNote, SlowNote } from "./States";

/** What is wrong with a form as a whole. */
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

/** The buttons of a form. While it is being sent, a word about it when that takes long. */
export function FormActions({ pending, children }: { pending: boolean; children: ReactNode }) {
  return (
    <div className={styles.actions}>
      {pending && <SlowNote text="The server is taking its time. What you typed is still here." />}
      <span className={styles.space} />
      {children}
    </div>
  );
}
