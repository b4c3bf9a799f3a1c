/** Toasts: short messages about the user's last action, often with a button to undo the action. */

import { X } from "lucide-react";
import {
  createContext,
  type FocusEvent,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
} from "react";
import { sentencesOf } from "../client/faults";
import type { Outcome } from "../client/useChange";
import type { FaultFragment } from "../graph/graphql";
import { described } from "./States";
import styles from "./Toasts.module.css";

interface Toast {
  text: ReactNode;
  /** Undoes the action. */
  undo?: () => Promise<Outcome<unknown>>;
  /** The message after the undo. */
  undone?: ReactNode;
}

interface ShownToast extends Toast {
  id: number;
  /** The label of the undo button. */
  label: string;
}

/** How long a toast is shown, in milliseconds. Its action can be undone during this time. The time starts again when
 *  the pointer or the focus leaves the toast. */
const SHOWN = 10_000;

const Context = createContext<(toast: Toast) => void>(() => {});
const Visible = createContext<ReactNode>(null);

/** Returns a function that shows a toast. */
export const useToast = () => useContext(Context);

/** The place of the toasts in the top bar, where they cover nothing. Only the newest toast is visible. When it
 *  disappears, the previous toast is shown. */
export function Toasts() {
  return (
    <div className={styles.toasts} role="status" aria-live="polite">
      {useContext(Visible)}
    </div>
  );
}

/** Holds the last three toasts that the components inside it show. Ctrl+Z or Cmd+Z undoes the newest of their actions
 *  that can be undone, unless the focus is in a field or a dialog, because text fields have their own undo. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly ShownToast[]>([]);
  const next = useRef(0);
  const close = useCallback((id: number) => setToasts((shown) => shown.filter((each) => each.id !== id)), []);
  const show = useCallback((toast: Toast, label: string) => {
    const id = next.current++;
    setToasts((shown) => [...shown.slice(-2), { ...toast, label, id }]);
  }, []);
  const say = useCallback((toast: Toast) => show(toast, "Undo"), [show]);
  const takeBack = useCallback(
    async ({ id, undo, undone }: ShownToast) => {
      close(id);
      const outcome = await undo?.();
      if (!outcome) return;
      if (outcome.done) show({ text: undone }, "");
      else {
        const text = `That could not be undone. ${reasonOf(outcome)}`;
        show(isOutdated(outcome.faults) ? { text } : { text, undo, undone }, "Try again");
      }
    },
    [close, show],
  );

  useEffect(() => {
    function undoLast(event: KeyboardEvent) {
      const isUndo =
        event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
      const hasOwn = (event.target as HTMLElement).closest("input, textarea, select, dialog");
      const last = toasts.findLast((each) => each.undo);
      if (!isUndo || hasOwn || !last) return;
      event.preventDefault();
      void takeBack(last);
    }
    window.addEventListener("keydown", undoLast);
    return () => window.removeEventListener("keydown", undoLast);
  }, [toasts, takeBack]);

  const shown = toasts.map((toast) => (
    <Shown key={toast.id} toast={toast} takeBack={() => void takeBack(toast)} close={() => close(toast.id)} />
  ));
  return (
    <Context value={say}>
      <Visible value={shown}>{children}</Visible>
    </Context>
  );
}

/** Returns why a change was not made, in one or more sentences. */
export function reasonOf({ faults, failure }: Extract<Outcome<unknown>, { done: false }>): string {
  // An undo requires the version that its change led to.
  if (isOutdated(faults)) return "It has been changed again since then.";
  return sentencesOf(faults, { id: "it" }) ?? (failure ? `${described(failure).title}.` : "");
}

const isOutdated = (faults: readonly FaultFragment[]): boolean =>
  faults.some(({ field }) => field?.[0] === "ifVersion");

function Shown({ toast, takeBack, close }: { toast: ShownToast; takeBack: () => void; close: () => void }) {
  const [isHeld, setIsHeld] = useState(false);
  const before = useRef<Element | null>(null);
  const latest = useRef(close);
  latest.current = close;
  useEffect(() => {
    if (isHeld) return;
    const timer = setTimeout(() => latest.current(), SHOWN);
    return () => clearTimeout(timer);
  }, [isHeld]);

  function enter(event: FocusEvent) {
    setIsHeld(true);
    if (!event.currentTarget.contains(event.relatedTarget)) before.current = event.relatedTarget;
  }

  /** Returns the focus to where it was, because the button disappears, and then runs the button's action. */
  function finish(what: () => void) {
    if (before.current instanceof HTMLElement) before.current.focus();
    what();
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: hovering only keeps the toast visible
    <div
      className={styles.toast}
      onMouseEnter={() => setIsHeld(true)}
      onMouseLeave={() => setIsHeld(false)}
      onFocus={enter}
      onBlur={() => setIsHeld(false)}
    >
      <span>{toast.text}</span>
      {toast.undo && (
        <button
          type="button"
          className={styles.undo}
          aria-keyshortcuts="Control+Z"
          title={`${toast.label} (Ctrl+Z)`}
          onClick={() => finish(takeBack)}
        >
          {toast.label}
        </button>
      )}
      <button type="button" className={styles.close} onClick={() => finish(close)} aria-label="Dismiss">
        <X size={16} aria-hidden />
      </button>
    </div>
  );
}
