/** The dialog with the token of a new or rotated key. The token is shown only here, and only once. */

import { Check, Copy as CopyIcon, TriangleAlert } from "lucide-react";
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import { Button } from "../design/Button";
import { copy } from "../design/Copy";
import { Dialog } from "../design/Dialog";
import { FormActions } from "../design/Form";
import forms from "../design/Form.module.css";
import { markUnsaved } from "../unsaved";
import styles from "./Token.module.css";

interface NewToken {
  token: string;
  /** The name of the key. */
  name: string;
  /** What happens to the previous token, if there is one. */
  note?: string;
}

const Context = createContext<(shown: NewToken) => void>(() => {});

/** Returns a function that shows a new token. */
export const useShowToken = () => useContext(Context);

/** Shows new tokens on top of all views, so that no change of the view can hide a token too early. */
export function TokenProvider({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<NewToken | null>(null);
  return (
    <Context value={setShown}>
      {children}
      {shown && <Token {...shown} onClose={() => setShown(null)} />}
    </Context>
  );
}

function Token({ token, name, note, onClose }: NewToken & { onClose: () => void }) {
  const [isCopied, setIsCopied] = useState(false);
  const body = useRef<HTMLDivElement>(null);
  // Until the user says that the token is stored, the page asks before it is left.
  useEffect(() => (body.current ? markUnsaved(body.current) : undefined), []);
  return (
    <Dialog title="Copy the key now" onClose={null} wide>
      <div ref={body} className={forms.form}>
        <div className={styles.warning} role="alert">
          <TriangleAlert size={18} aria-hidden />
          <p>
            <strong>This is the only time that the key is shown.</strong> The server stores only a hash of it.
            A key that is lost can only be rotated.
          </p>
        </div>
        <div className={styles.token}>
          <code role="region" aria-label={`Key ${name}`} tabIndex={0}>
            {token}
          </code>
        </div>
        {note && <p className={styles.note}>{note}</p>}
        <FormActions pending={false}>
          <Button onClick={onClose}>I have stored the key</Button>
          <Button
            kind="primary"
            onClick={async () => {
              await copy(token);
              setIsCopied(true);
            }}
          >
            {isCopied ? <Check size={16} aria-hidden /> : <CopyIcon size={16} aria-hidden />}
            {isCopied ? "Copied" : "Copy key"}
          </Button>
        </FormActions>
        <span className={styles.heard} role="status">
          {isCopied && "The key was copied."}
        </span>
      </div>
    </Dialog>
  );
}
