import { useState } from "react";
import { type Subjects, sentencesOf } from "../client/faults";
import { type Outcome, useChange } from "../client/useChange";
import { useToast } from "../design/Toasts";
import {
  type LicenseDetailsFragment,
  RegenerateLicenseDocument,
  ReinstateLicenseDocument,
  RevokeLicenseDocument,
} from "../graph/graphql";

/** What errors about a license refer to. */
export const SUBJECTS = { id: "the license", installationId: "the installation", reason: "Reason" };

type Failed = Extract<Outcome<unknown>, { done: false }>;

export type LicenseChanges = ReturnType<typeof useLicenseChanges>;

/** Returns functions that change a license, and their state. All changes except a new token can be undone. `onFailed` is
 *  called with the outcome of a change that was not made. */
export function useLicenseChanges(license: LicenseDetailsFragment, onFailed?: (outcome: Failed) => void) {
  const say = useToast();
  const [fault, setFault] = useState<string | null>(null);
  const revocation = useChange(RevokeLicenseDocument, "revokeLicense");
  const reinstatement = useChange(ReinstateLicenseDocument, "reinstateLicense");
  const regeneration = useChange(RegenerateLicenseDocument, "regenerateLicense");
  const { id } = license;

  function blame(outcome: Failed, subjects: Subjects = SUBJECTS): void {
    setFault(sentencesOf(outcome.faults, subjects));
    onFailed?.(outcome);
  }

  async function send(reason: string | null): Promise<Outcome<unknown>> {
    const outcome = await revocation.run({ id, reason });
    if (outcome.done) {
      say({
        text: "License revoked.",
        undo: () => reinstatement.run({ id }),
        undone: "License reinstated.",
      });
    }
    return outcome;
  }

  async function revoke(): Promise<void> {
    setFault(null);
    const outcome = await send(null);
    if (!outcome.done) blame(outcome);
  }

  async function reinstate(): Promise<void> {
    setFault(null);
    const reason = license.revokedReason;
    const outcome = await reinstatement.run({ id });
    if (!outcome.done) {
      blame(outcome);
      return;
    }
    say({
      text: "License reinstated.",
      undo: () => revocation.run({ id, reason }),
      undone: "License revoked again.",
    });
  }

  async function regenerate(): Promise<void> {
    setFault(null);
    const outcome = await regeneration.run({ id });
    if (outcome.done)
      say({ text: "The license has a new token. The previous token stays valid until it expires." });
    else blame(outcome, { id: "this" });
  }

  return {
    revoke,
    revokeWithReason: send,
    reinstate,
    regenerate,
    fault,
    pending: revocation.pending || reinstatement.pending || regeneration.pending,
    failure: revocation.failure ?? reinstatement.failure ?? regeneration.failure,
  };
}
