/** What was just done, said in passing, with a way to take it back. */

import { X } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useRef, useState } from "react";
import styles from "./Toasts.module.css";

interface Toast {
  text: string;
  /** Takes it back; answers what to say then. */
  undo?: () => Promise<string>;
}

/** Milliseconds for which something can be taken back. */
const SHOWN = 10_000;

const Context = createContext<(toast: Toast) => void>(() => {});

/** Says what was done. */
export const useToast = () => useContext(Context);

/** Keeps the toasts of everything below it. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly (Toast & { id: number })[]>([]);
  const next = useRef(0);
  const close = useCallback((id: number) => setToasts((shown) => shown.filter((each) => each.id !== id)), []);
  const say = useCallback((toast: Toast) => {
    const id = next.current++;
    setToasts((shown) => [...shown.slice(-2), { ...toast, id }]);
  }, []);
  return (
    <Context value={say}>
      {children}
      <div className={styles.toasts} role="status" aria-live="polite">
        {toasts.map((toast) => (
          <Shown key={toast.id} toast={toast} say={say} close={() => close(toast.id)} />
        ))}
      </div>
    </Context>
  );
}

function Shown({ toast, say, close }: { toast: Toast; say: (toast: Toast) => void; close: () => void }) {
  const [isHeld, setIsHeld] = useState(false);
  const latest = useRef(close);
  latest.current = close;
  useEffect(() => {
    if (isHeld) return;
    const timer = setTimeout(() => latest.current(), SHOWN);
    return () => clearTimeout(timer);
  }, [isHeld]);
  const { undo } = toast;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only stays while it is looked at
    <div
      className={styles.toast}
      onMouseEnter={() => setIsHeld(true)}
      onMouseLeave={() => setIsHeld(false)}
      onFocus={() => setIsHeld(true)}
      onBlur={() => setIsHeld(false)}
    >
      <span>{toast.text}</span>
      {undo && (
        <button
          type="button"
          className={styles.undo}
          onClick={async () => {
            close();
            say({ text: await undo() });
          }}
        >
          Undo
        </button>
      )}
      <button type="button" className={styles.close} onClick={close} aria-label="Dismiss">
        <X size={16} aria-hidden />
      </button>
    </div>
  );
}
