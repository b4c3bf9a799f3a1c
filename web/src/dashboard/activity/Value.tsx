import styles from "./Activity.module.css";
import { isCode } from "./words";

/** The value of a field in words. */
export function Value({
  field,
  value,
  isErased = false,
}: {
  field: string;
  value: string | null;
  isErased?: boolean;
}) {
  if (isErased) return <span className={styles.quiet}>Erased</span>;
  if (value === null) return <span className={styles.quiet}>None</span>;
  return isCode(field) ? <code>{value}</code> : <bdi>{value}</bdi>;
}
