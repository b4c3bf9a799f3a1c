import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { useToast } from "../design/Toasts";
import { counted } from "../format";
import { RevokeApiKeyDocument } from "../graph/graphql";
import { useSession } from "../session/Session";
import type { KeyView } from "./Key";
import { nameOf } from "./words";

/** The dialog that permanently revokes a key, after the user has typed its name or, if it has none, its last four
 *  characters. */
export function RevokeKey({ apiKey, onClose }: { apiKey: KeyView; onClose: () => void }) {
  const say = useToast();
  const { viewer } = useSession();
  const { run, pending, failure } = useChange(RevokeApiKeyDocument, "revokeApiKey");
  const { id, name, last4, usage } = apiKey;
  const requests = usage.reduce((sum, day) => sum + day.requests, 0);
  return (
    <ConfirmDeletion
      title="Revoke key"
      word={name ?? last4}
      wordIs={name ? "the key's name" : "the key's last four characters"}
      button="Revoke key"
      pending={pending}
      failure={failure}
      onClose={onClose}
      onConfirm={async () => {
        const outcome = await run({ id });
        if (!outcome.done) return sentencesOf(outcome.faults, { id: "the key" });
        onClose();
        say({
          text: (
            <>
              <bdi>{nameOf(apiKey)}</bdi> was revoked.
            </>
          ),
        });
        return null;
      }}
    >
      <p>
        The key stops working within a second, and cannot be used again.{" "}
        {requests > 0 && (
          <>
            It sent <strong>{counted(requests, "request")}</strong> in the last 30 days.{" "}
          </>
        )}
        {id === viewer.keyId && <strong>You are signed in with this key, and must enter another one.</strong>}
      </p>
    </ConfirmDeletion>
  );
}
