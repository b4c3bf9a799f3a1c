import { useCallback, useEffect, useRef, useState } from "react";

/** Returns the text of an input, and a function to change the text. Changes are passed to `tell`, at most once every
 * `between` milliseconds.
 *
 * `value` is the text that was last passed to `tell`. If `value` changes for another reason, such as going back to
 * an earlier URL, the input shows the new value. */
export function useThrottled(
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

  // The interval starts when the new value is rendered. On a busy machine, this can be long after the call of `tell`.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs on every change
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
