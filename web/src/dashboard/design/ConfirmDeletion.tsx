import { type FormEvent, type ReactNode, useState } from "react";
import type { Failure } from "../client/failures";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { Field } from "./Field";
import { FormActions, FormErrors } from "./Form";
import forms from "./Form.module.css";

interface ConfirmDeletionProps {
  title: string;
  /** What has to be typed. */
  word: string;
  /** What that is, for the label. */
  wordIs: string;
  button: string;
  pending: boolean;
  failure: Failure | null;
  onClose: () => void;
  /** Deletes, and answers why not if it was not done. */
  onConfirm: () => Promise<string | null>;
  /** What goes, and what with it. */
  children: ReactNode;
}

/** Asks to type a name before something is deleted that nothing brings back. */
export function ConfirmDeletion(props: ConfirmDeletionProps) {
  const { title, word, wordIs, button, pending, failure, onClose, onConfirm, children } = props;
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [isMistyped, setIsMistyped] = useState(false);
  const isRight = typed.trim().toLowerCase() === word.toLowerCase();

  async function submit(event: FormEvent) {
    event.preventDefault();
    setIsMistyped(!isRight);
    if (isRight) setError(await onConfirm());
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit} className={forms.form} noValidate>
        <div className={forms.warning}>{children}</div>
        <Field
          label={`Type ${wordIs} to confirm`}
          hint={<bdi className={forms.word}>{word}</bdi>}
          error={isMistyped && !isRight ? "This is not the same." : undefined}
        >
          {(control) => (
            <input
              {...control}
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
            />
          )}
        </Field>
        <FormErrors error={error ?? undefined} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="danger" type="submit" pending={pending}>
            {button}
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
