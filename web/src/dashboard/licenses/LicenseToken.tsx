import { ClipboardCopy } from "lucide-react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Copy, copy } from "../design/Copy";
import { Dialog } from "../design/Dialog";
import forms from "../design/Form.module.css";
import { FailureNote, Loading } from "../design/States";
import { useToast } from "../design/Toasts";
import { type LicenseDetailsFragment, LicenseTokenDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import styles from "./Licenses.module.css";

/** The dialog with a license's token. The token is only fetched when the dialog opens. */
export function LicenseToken({
  license,
  appName,
  onClose,
}: {
  license: LicenseDetailsFragment;
  appName: string;
  onClose: () => void;
}) {
  const say = useToast();
  const { may } = useSession();
  const [{ data, error, fetching }, again] = useQuery({
    query: LicenseTokenDocument,
    variables: { id: license.id },
    requestPolicy: "network-only",
  });
  const failure = useFailure(error);
  const token = fetching || error ? undefined : (data?.license?.token ?? null);
  return (
    <Dialog title="Token" onClose={onClose} wide>
      <div className={forms.form}>
        <p className={styles.quiet}>
          Anyone with the token can use the license and get a new token for it. Give it only to the customer.
        </p>
        {fetching && <Loading what="the token" />}
        {failure && <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />}
        {token === null && (
          <p>
            This license has no token yet.
            {may("WRITE_LICENSES") && " To create one, choose “New token” from its menu."}
          </p>
        )}
        {token && (
          <>
            <pre className={styles.token} tabIndex={0} role="region" aria-label="Token">
              {token}
            </pre>
            <div className={styles.copyToken}>
              <Copy text={token} what="token" />
              <span>Token {license.jti}</span>
            </div>
            <div>
              <Button
                onClick={async () => {
                  await copy(forCustomer(token, appName));
                  onClose();
                  say({ text: "Copied: the token, and how the customer enters it." });
                }}
              >
                <ClipboardCopy size={16} aria-hidden /> Copy for customer
              </Button>
            </div>
          </>
        )}
      </div>
    </Dialog>
  );
}

/** Returns a token with three lines on how to enter it, for a message to the customer. */
const forCustomer = (token: string, appName: string): string =>
  [
    token,
    "",
    "1. Copy the whole text above this list. It is one long word.",
    `2. In ${appName}, open the window that asks for your license.`,
    "3. Paste the text there and confirm.",
    "",
  ].join("\n");
