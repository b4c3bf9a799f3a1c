import type { ReactNode } from "react";
import { Copy } from "./Copy";
import styles from "./Details.module.css";

/** A list of names and values. */
export function Details({ children }: { children: ReactNode }) {
  return <dl className={styles.details}>{children}</dl>;
}

/** A name and its value. If `copied` is given, a button copies that text. */
export function Detail({
  label,
  copied,
  children,
}: {
  label: string;
  copied?: string | null;
  children: ReactNode;
}) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <span>{children || <span className={styles.none}>None</span>}</span>
        {copied && <Copy text={copied} what={label} />}
      </dd>
    </div>
  );
}
