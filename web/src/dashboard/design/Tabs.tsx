import type { ReactNode } from "react";
import { Link, useRoute } from "wouter";
import styles from "./Tabs.module.css";

/** Links to the views of one object, such as an app. `label` names the object. Inline tabs take no line of their own. */
export function Tabs({
  label,
  isInline = false,
  children,
}: {
  label: string;
  isInline?: boolean;
  children: ReactNode;
}) {
  return (
    <nav className={`${styles.tabs} ${isInline ? styles.inline : styles.line}`} aria-label={label}>
      {children}
    </nav>
  );
}

export function Tab({ to, children }: { to: string; children: string }) {
  const [isHere] = useRoute(to);
  return (
    <Link to={to} aria-current={isHere ? "page" : undefined}>
      {children}
    </Link>
  );
}
