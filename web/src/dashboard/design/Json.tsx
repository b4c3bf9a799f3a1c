import type { ReactNode } from "react";
import styles from "./Json.module.css";

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Shows JSON with indentation and colours. Its content is always rendered as text. */
export function Json({ value, className, label }: { value: unknown; className?: string; label: string }) {
  const text = JSON.stringify(value, null, 2);
  const parts: ReactNode[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [token, string, colon] = match;
    const kind = colon ? styles.key : string ? styles.text : styles.other;
    parts.push(
      text.slice(end, match.index),
      <bdi key={match.index} className={kind}>
        {string ?? token}
      </bdi>,
      colon ?? "",
    );
    end = match.index + token.length;
  }
  parts.push(text.slice(end));
  return (
    <pre className={className} tabIndex={0} role="region" aria-label={label}>
      {parts}
    </pre>
  );
}
