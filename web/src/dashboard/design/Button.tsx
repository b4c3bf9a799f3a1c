import type { ComponentProps } from "react";
import styles from "./Button.module.css";

interface ButtonProps extends ComponentProps<"button"> {
  /** How much the button stands out: one `primary` per view, `danger` if its action cannot be undone. */
  kind?: "plain" | "primary" | "danger" | "quiet";
  size?: "small" | "medium";
  /** True while the button's action is running. Clicks then have no effect. */
  pending?: boolean;
}

/** A button. It keeps its size and focus while its action is running. */
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
      className={[styles.button, styles[kind], styles[size], className].filter(Boolean).join(" ")}
      aria-disabled={pending || undefined}
      aria-busy={pending || undefined}
      onClick={pending ? (event) => event.preventDefault() : onClick}
    >
      {pending && <span className={styles.spinner} aria-hidden />}
      {children}
    </button>
  );
}
