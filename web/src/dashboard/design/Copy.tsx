import { Check, Copy as CopyIcon } from "lucide-react";
import { useEffect, useState } from "react";
import styles from "./Copy.module.css";

/** A button that copies a text. `what` names the text in the label: "Copy email". */
export function Copy({ text, what }: { text: string; what: string }) {
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setIsCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [isCopied]);
  return (
    <button
      type="button"
      className={styles.copy}
      aria-label={isCopied ? `Copied ${what}` : `Copy ${what}`}
      title={isCopied ? "Copied" : `Copy ${what}`}
      onClick={async () => {
        await copy(text);
        setIsCopied(true);
      }}
    >
      {isCopied ? <Check size={14} aria-hidden /> : <CopyIcon size={14} aria-hidden />}
    </button>
  );
}

/** Copies a text. Browsers only offer the clipboard API on https and localhost. Elsewhere, the older execCommand still
 *  works. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
