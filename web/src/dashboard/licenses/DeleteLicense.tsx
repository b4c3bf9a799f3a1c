import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { useToast } from "../design/Toasts";
import { DeleteLicenseDocument, type LicenseDetailsFragment } from "../graph/graphql";
import { SUBJECTS } from "./useLicenseChanges";

/** The dialog that deletes a license. */
export function DeleteLicense({
  license,
  email,
  onClose,
}: {
  license: LicenseDetailsFragment;
  email: string;
  onClose: () => void;
}) {
  const say = useToast();
  const { run, pending, failure } = useChange(DeleteLicenseDocument, "deleteLicense");
  return (
    <ConfirmDeletion
      title="Delete license"
      word={email}
      wordIs="the customer's email"
      button="Delete license"
      pending={pending}
      failure={failure}
      onClose={onClose}
      onConfirm={async () => {
        const outcome = await run({ id: license.id });
        if (outcome.done) {
          onClose();
          say({ text: "License deleted." });
        }
        return outcome.done ? null : sentencesOf(outcome.faults, SUBJECTS);
      }}
    >
      <p>
        This deletes the license for installation <code>{license.installationId}</code>. Only its activity is
        kept. To keep the license in the list, revoke it instead. Deleting cannot be undone.
      </p>
    </ConfirmDeletion>
  );
}
