import { useCallback, useEffect, useRef, useState } from "react";

/** A text that is told on while it is typed, but never twice within `between` milliseconds.
 *
 * `value` is what was last told, or came from elsewhere: an address somebody went back to. The text follows it then,
 * and else is the person's own. */
export function useSpaced(
  value: string,
  tell: (text: string) => void,
  between: number,
): [string, (text: string) => void] {
  const [text, setText] = useState(value);
  const told = useRef({ text: value, at: Number.NEGATIVE_INFINITY });
  const latest = useRef(tell);
  latest.current = tell;

  if (value !== told.current.text) {
    told.current = { ...told.current, text: value };
    if (text !== value) setText(value);
  }

  // Counted from when the value is shown and asked about: on a busy machine that comes well after it was told.
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the change that counts
  useEffect(() => {
    told.current.at = performance.now();
  }, [value]);

  useEffect(() => {
    if (text === told.current.text) return;
    const wait = Math.max(told.current.at + between - performance.now(), 0);
    const timer = setTimeout(() => {
      told.current = { text, at: performance.now() };
      latest.current(text);
    }, wait);
    return () => clearTimeout(timer);
  }, [text, between]);

  return [text, useCallback((next: string) => setText(next), [])];
}
