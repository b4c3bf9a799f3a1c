import type { FormEvent } from "react";
import { useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import { date, dateAndTime } from "../format";
import { type LicenseDetailsFragment, RenewLicenseDocument, UpdateLicenseDocument } from "../graph/graphql";
import { TERM_LABELS, type Term, TermFields, termOf } from "./Term";
import { SUBJECTS } from "./useLicenseChanges";

/** The term of a license whose tier does not have one. */
const DEFAULT_DAYS = 365;

/** The dialog that gives a license a later expiry. */
export function RenewLicense({ license, onClose }: { license: LicenseDetailsFragment; onClose: () => void }) {
  const say = useToast();
  const { form, values, errors, bind, set, blame, setErrors } = useForm(
    { term: "days" as Term, durationDays: `${license.tier?.durationDays ?? DEFAULT_DAYS}`, until: "" },
    { ...SUBJECTS, ...TERM_LABELS },
  );
  const { run, pending, failure } = useChange(RenewLicenseDocument, "renewLicense");
  const update = useChange(UpdateLicenseDocument, "updateLicense");
  const { id, expiresAt } = license;
  const isExpired = license.status === "EXPIRED";

  async function submit(event: FormEvent) {
    event.preventDefault();
    const term = termOf("until", values);
    if ("error" in term) {
      setErrors({ [term.field]: term.error });
      return;
    }
    const outcome = await run({ id, ...term.value });
    if (!outcome.done) {
      blame(outcome.faults);
      return;
    }
    const { license: renewed, previousExpiresAt } = outcome.payload;
    onClose();
    const until = renewed?.expiresAt ? `until ${date(renewed.expiresAt)}` : "forever";
    // A license cannot get back an expiry that has passed.
    const canUndo = previousExpiresAt && new Date(previousExpiresAt) > new Date();
    say({
      text: `License renewed: valid ${until}.`,
      ...(canUndo && {
        undo: () => update.run({ id, expiresAt: previousExpiresAt, ifVersion: renewed?.version }),
        undone: "The license has its previous expiry again.",
      }),
    });
  }

  return (
    <Dialog title="Renew license" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        {expiresAt && (
          <p>
            {isExpired ? "Expired" : "Expires"} {dateAndTime(expiresAt)}.
          </p>
        )}
        <TermFields
          end="until"
          daysHint={isExpired ? "Counted from now." : "Counted from the current expiry."}
          values={values}
          errors={errors}
          bind={bind}
          onTerm={(term) => set("term", term)}
        />
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Renew license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
