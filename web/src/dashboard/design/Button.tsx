import type { ButtonHTMLAttributes } from "react";
import styles from "./Button.module.css";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** How much it stands out: one `primary` a view, `danger` for what cannot be taken back, else `plain`. */
  kind?: "plain" | "primary" | "danger" | "quiet";
  size?: "small" | "medium";
  /** Whether what it started is still going on: it does not start again meanwhile. */
  pending?: boolean;
}

/** A button. It keeps its place and its focus while what it started goes on. */
export function Button({
  kind = "plain",
  size = "medium",
  pending = false,
  className = "",
  children,
  onClick,
  type = "button",
  ...props
}: ButtonProps) {
  return (
    <button
      {...props}
      type={type}
      className={`${styles.button} ${styles[kind]} ${styles[size]} ${className}`}
      aria-disabled={pending || undefined}
      aria-busy={pending || undefined}
      onClick={pending ? (event) => event.preventDefault() : onClick}
    >
      {pending && <span className={styles.spinner} aria-hidden />}
      {children}
    </button>
  );
}
