/** What was just done, said in passing, with a way to take it back. */

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
import { described } from "./States";
import styles from "./Toasts.module.css";

interface Toast {
  text: ReactNode;
  /** Takes it back. */
  undo?: () => Promise<Outcome<unknown>>;
  /** What is said when that was done. */
  undone?: ReactNode;
}

interface ShownToast extends Toast {
  id: number;
  /** What the button to take it back is called. */
  label: string;
}

/** Milliseconds for which something can be taken back. */
const SHOWN = 10_000;

const Context = createContext<(toast: Toast) => void>(() => {});

/** Says what was done. */
export const useToast = () => useContext(Context);

/** Keeps the toasts of everything below it. Ctrl+Z takes back what was done last, wherever the focus is but in what
 *  has an undo of its own. */
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
      else show({ text: `That could not be undone. ${reasonOf(outcome)}`, undo, undone }, "Try again");
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

  return (
    <Context value={say}>
      {children}
      <div className={styles.toasts} role="status" aria-live="polite">
        {toasts.map((toast) => (
          <Shown
            key={toast.id}
            toast={toast}
            takeBack={() => void takeBack(toast)}
            close={() => close(toast.id)}
          />
        ))}
      </div>
    </Context>
  );
}

function reasonOf({ faults, failure }: Extract<Outcome<unknown>, { done: false }>): string {
  return sentencesOf(faults, { id: "it" }) ?? (failure ? `${described(failure).title}.` : "");
}

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

  /** Does what a button here is for, and gives the focus back: the button goes. */
  function finish(what: () => void) {
    if (before.current instanceof HTMLElement) before.current.focus();
    what();
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only stays while it is looked at
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
