import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { hasUnsaved } from "../unsaved";
import { Button } from "./Button";
import styles from "./Dialog.module.css";
import { FormActions } from "./Form";

interface DialogProps {
  title: string;
  /** Called when the user closes the dialog. Null if the dialog cannot be closed. */
  onClose: (() => void) | null;
  wide?: boolean;
  children: ReactNode;
}

const CONTROLS = "input, select, textarea, button, [tabindex]";

/** A modal dialog, based on the browser's <dialog>. The dialog focuses its first control, keeps the focus inside,
 *  and returns the focus when it closes. If a form inside has changes, Escape and the close button ask the user
 *  first. */
export function Dialog({ title, onClose, wide = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [isAsking, setIsAsking] = useState(false);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    // By default, the browser would focus the close button.
    element?.querySelector<HTMLElement>(`.${styles.body} :is(${CONTROLS})`)?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);

  function close() {
    if (onClose && dialog.current && hasUnsaved(dialog.current)) setIsAsking(true);
    else onClose?.();
  }

  return (
    <dialog
      ref={dialog}
      className={`${styles.dialog} ${wide ? styles.wide : ""}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        // Ignore events of elements inside, such as a file input or another dialog.
        if (event.target !== event.currentTarget) return;
        event.preventDefault();
        close();
      }}
      onKeyDown={(event) => {
        // In Chromium, a second Escape closes a dialog even if `cancel` is prevented.
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.preventDefault();
        close();
      }}
    >
      <header className={styles.header}>
        <h2 id={heading}>{title}</h2>
        {onClose && (
          <button type="button" className={styles.close} onClick={close} aria-label="Close">
            <X size={18} aria-hidden />
          </button>
        )}
      </header>
      <div className={styles.body}>{children}</div>
      {isAsking && (
        <ConfirmDiscard
          onAnswer={(agrees) => {
            setIsAsking(false);
            if (agrees) onClose?.();
          }}
        />
      )}
    </dialog>
  );
}

/** Asks whether unsaved changes may be discarded. Escape means no. */
export function ConfirmDiscard({ onAnswer }: { onAnswer: (agrees: boolean) => void }) {
  return (
    <Dialog title="Discard your changes?" onClose={() => onAnswer(false)}>
      <p>What you have entered is not saved.</p>
      <FormActions pending={false}>
        <Button onClick={() => onAnswer(false)}>Keep editing</Button>
        <Button kind="danger" onClick={() => onAnswer(true)}>
          Discard
        </Button>
      </FormActions>
    </Dialog>
  );
}
