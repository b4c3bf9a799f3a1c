import { initials } from "../format";
import styles from "./Avatar.module.css";

const TONES = [styles.a, styles.b, styles.c, styles.d, styles.e, styles.f];

/** A circle with a person's initials. The colour depends on the email, so it stays the same. */
export function Avatar({
  name,
  email,
  isLarge = false,
}: {
  name: string | null;
  email: string;
  isLarge?: boolean;
}) {
  let sum = 0;
  for (const letter of email) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return (
    <span
      className={`${styles.avatar} ${TONES[sum % TONES.length]} ${isLarge ? styles.large : ""}`}
      aria-hidden
    >
      {initials(name, email)}
    </span>
  );
}
