import { type FormEvent, type ReactNode, useRef, useState } from "react";
import type { Failure } from "../client/failures";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { Field } from "./Field";
import { FormActions, FormErrors } from "./Form";
import forms from "./Form.module.css";
import { useForm } from "./useForm";

interface ConfirmDeletionProps {
  title: string;
  /** The text that must be typed. */
  word: string;
  /** What `word` is, for the label: "the customer's email", for example. */
  wordIs: string;
  button: string;
  pending: boolean;
  failure: Failure | null;
  onClose: () => void;
  /** Performs the deletion. Returns the server's userErrors as a text, or null if there are none. */
  onConfirm: () => Promise<string | null>;
  /** Explains what will be deleted. */
  children: ReactNode;
}

/** The dialog for deletions that cannot be undone. To confirm, the user must type `word`, in upper or lower case. */
export function ConfirmDeletion(props: ConfirmDeletionProps) {
  const { title, word, wordIs, button, pending, failure, onClose, onConfirm, children } = props;
  const { form, values, bind } = useForm({ typed: "" }, {});
  const [error, setError] = useState<string | null>(null);
  const [isMistyped, setIsMistyped] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const isRight = values.typed.trim().toLowerCase() === word.toLowerCase();

  async function submit(event: FormEvent) {
    event.preventDefault();
    setIsMistyped(!isRight);
    if (isRight) setError(await onConfirm());
    else input.current?.focus();
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <div className={forms.warning}>{children}</div>
        <Field
          label={`Type ${wordIs} to confirm`}
          hint={<bdi className={forms.word}>{word}</bdi>}
          error={isMistyped && !isRight ? "This does not match." : undefined}
        >
          {(control) => (
            <input
              {...control}
              ref={input}
              {...bind("typed")}
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
