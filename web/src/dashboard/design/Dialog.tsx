import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";
import styles from "./Dialog.module.css";

interface DialogProps {
  title: string;
  /** Called when the person wants out; null: there is no way out but by what the dialog asks for. */
  onClose: (() => void) | null;
  wide?: boolean;
  children: ReactNode;
}

const CONTROLS = "input, select, textarea, button, [tabindex]";

/** A modal dialog: the browser's own, which holds the focus, and gives it back in the end. It begins at its
 *  first control. */
export function Dialog({ title, onClose, wide = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    // The browser would begin at the way out.
    element?.querySelector<HTMLElement>(`.${styles.body} :is(${CONTROLS})`)?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={`${styles.dialog} ${wide ? styles.wide : ""}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        // Of this dialog alone: a file input or a dialog within tells of its own.
        if (event.target !== event.currentTarget) return;
        event.preventDefault();
        onClose?.();
      }}
      onKeyDown={(event) => {
        // Chromium lets a second Escape close what would not be cancelled.
        if (event.key === "Escape" && !onClose) event.preventDefault();
      }}
    >
      <header className={styles.header}>
        <h2 id={heading}>{title}</h2>
        {onClose && (
          <button type="button" className={styles.close} onClick={onClose} aria-label="Close">
            <X size={18} aria-hidden />
          </button>
        )}
      </header>
      <div className={styles.body}>{children}</div>
    </dialog>
  );
}
