import { LoaderCircle, Search, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { useThrottled } from "../design/useThrottled";
import styles from "./Toolbar.module.css";

/** The minimum time between two searches while the user types, in milliseconds: 200, plus a margin because clocks are
 *  coarse. */
export const BETWEEN_SEARCHES = 220;

/** The search box of a list. The key "/" moves the focus here, and the arrow down from here to the first row. */
export function SearchBox({
  label,
  value,
  isWaiting,
  onSearch,
}: {
  label: string;
  value: string;
  isWaiting: boolean;
  onSearch: (text: string) => void;
}) {
  const [text, setText] = useThrottled(value, onSearch, BETWEEN_SEARCHES);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const isTyping = (event.target as HTMLElement).closest("input, textarea, select, dialog");
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
      event.preventDefault();
      input.current?.select();
    };
    window.addEventListener("keydown", focus);
    return () => window.removeEventListener("keydown", focus);
  }, []);
  return (
    <search className={styles.search}>
      {isWaiting ? (
        <LoaderCircle className={styles.turning} size={16} aria-hidden />
      ) : (
        <Search size={16} aria-hidden />
      )}
      <input
        ref={input}
        type="text"
        inputMode="search"
        enterKeyHint="search"
        aria-label={label}
        aria-keyshortcuts="/"
        placeholder={label}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") setText("");
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          document.querySelector<HTMLElement>("[data-row] a")?.focus();
        }}
        autoComplete="off"
        spellCheck={false}
      />
      {text ? (
        <button
          type="button"
          aria-label="Clear search"
          onClick={() => {
            setText("");
            input.current?.focus();
          }}
        >
          <X size={16} aria-hidden />
        </button>
      ) : (
        <kbd aria-hidden>/</kbd>
      )}
    </search>
  );
}
