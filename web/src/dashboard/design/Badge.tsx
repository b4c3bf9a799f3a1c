import type { ReactNode } from "react";
import styles from "./Badge.module.css";

/** A word about the state of something. */
export function Badge({
  tone = "plain",
  children,
}: {
  tone?: "plain" | "good" | "warn" | "bad" | "accent";
  children: ReactNode;
}) {
  return <span className={`${styles.badge} ${styles[tone]}`}>{children}</span>;
}
