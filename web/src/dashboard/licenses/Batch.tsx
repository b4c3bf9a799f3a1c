/** Changes of many licenses at once: a question, the progress, and which licenses could not be changed. */

import type { Client } from "@urql/core";
import { type FormEvent, type ReactNode, type RefObject, useEffect, useRef, useState } from "react";
import type { Failure } from "../client/failures";
import { sentencesOf } from "../client/faults";
import { type Outcome, outcomeOf } from "../client/useChange";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { counted, number } from "../format";
import { type ListedLicenseFragment, RenewLicenseDocument, RevokeLicenseDocument } from "../graph/graphql";
import styles from "./LicenseTable.module.css";
import { patiently, plainClient } from "./manyLicenses";
import { TERM_LABELS, type Term, TermFields, termOf } from "./Term";
import { SUBJECTS } from "./useLicenseChanges";

interface BatchProps {
  licenses: readonly ListedLicenseFragment[];
  onClose: () => void;
  /** Called when licenses were changed, with those that were not. */
  onDone: (failed: readonly ListedLicenseFragment[]) => void;
}

type Act = (client: Client, license: ListedLicenseFragment, signal: AbortSignal) => Promise<Outcome<unknown>>;

/** The dialog that revokes the selected licenses. */
export function RevokeSelected(props: BatchProps) {
  const { form, values, errors, bind } = useForm({ reason: "" }, SUBJECTS);
  const reason = orNull(values.reason);
  const revoke: Act = async (client, { id }, signal) => {
    const input = { id, reason };
    const result = await patiently(
      () => client.mutation(RevokeLicenseDocument, { input }).toPromise(),
      signal,
    );
    return outcomeOf(result, "revokeLicense");
  };
  return (
    <Batch {...props} form={form} verb="Revoke" done="revoked" prepare={() => revoke}>
      <Field label="Reason" hint="For your records. At most 500 characters." error={errors.reason}>
        {(control) => <textarea {...control} {...bind("reason")} rows={3} />}
      </Field>
    </Batch>
  );
}

/** The dialog that gives the selected licenses a later expiry. */
export function RenewSelected(props: BatchProps) {
  const hasTerms = props.licenses.every(({ tier }) => tier?.durationDays);
  const { form, values, errors, bind, set, setErrors } = useForm(
    { term: (hasTerms ? "tier" : "days") as Term | "tier", durationDays: "365", until: "" },
    TERM_LABELS,
  );
  function prepare(): Act | null {
    const term = termOf("until", values);
    if ("error" in term) {
      setErrors({ [term.field]: term.error });
      return null;
    }
    return async (client, { id }, signal) => {
      const input = { id, ...term.value };
      const result = await patiently(
        () => client.mutation(RenewLicenseDocument, { input }).toPromise(),
        signal,
      );
      return outcomeOf(result, "renewLicense");
    };
  }
  return (
    <Batch {...props} form={form} verb="Renew" done="renewed" prepare={prepare}>
      <TermFields
        end="until"
        others={hasTerms ? [{ term: "tier", label: "For the tier's term" }] : []}
        daysHint="Counted from each expiry, or from now for expired licenses."
        values={values}
        errors={errors}
        bind={bind}
        onTerm={(term) => set("term", term)}
      />
    </Batch>
  );
}

/** What is known about a batch that runs or is over. */
interface Progress {
  changed: number;
  failures: readonly { license: ListedLicenseFragment; reason: string }[];
  /** Licenses that were not tried, because the batch was stopped. */
  left: readonly ListedLicenseFragment[];
  isOver: boolean;
  /** Why the batch was stopped, unless the user did it. */
  failure: Failure | null;
}

/** The dialog of a batch. `prepare` returns what to do with each license, or null if a field has an error. */
function Batch({
  licenses,
  verb,
  done,
  form,
  prepare,
  onClose,
  onDone,
  children,
}: BatchProps & {
  /** The action, such as "Revoke". */
  verb: string;
  /** Its past participle, such as "revoked". */
  done: string;
  form: RefObject<HTMLFormElement | null>;
  prepare: () => Act | null;
  children: ReactNode;
}) {
  const say = useToast();
  const [progress, setProgress] = useState<Progress | null>(null);
  const stopping = useRef(new AbortController());
  useEffect(() => () => stopping.current.abort(), []);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const act = prepare();
    if (!act) return;
    const end = await run(act, licenses, stopping.current.signal, setProgress);
    const failed = [...end.failures.map(({ license }) => license), ...end.left];
    onDone(failed);
    if (failed.length > 0) return;
    onClose();
    say({ text: `${counted(end.changed, "license")} ${done}.` });
  }

  const what = `${verb} ${counted(licenses.length, "license")}`;
  if (!progress) {
    return (
      <Dialog key="question" title={`${what}?`} onClose={onClose}>
        <form ref={form} onSubmit={submit} className={forms.form} noValidate>
          {children}
          <FormActions pending={false}>
            <Button onClick={onClose}>Cancel</Button>
            <Button kind={verb === "Revoke" ? "danger" : "primary"} type="submit">
              {what}
            </Button>
          </FormActions>
        </form>
      </Dialog>
    );
  }
  const { changed, failures, left, isOver, failure } = progress;
  const tried = changed + failures.length;
  return (
    <Dialog key="progress" title={what} onClose={isOver ? onClose : null}>
      <div className={forms.form}>
        <progress className={styles.progress} aria-label={what} max={licenses.length} value={tried} />
        <p role="status" className={styles.said}>
          {isOver
            ? `${counted(changed, "license")} ${done}.`
            : `${number(tried)} of ${counted(licenses.length, "license")}`}
          {isOver && failures.length > 0 && ` ${counted(failures.length, "license")} could not be ${done}:`}
        </p>
        {failures.length > 0 && (
          <ul className={styles.failures} aria-label="Failures">
            {failures.map(({ license, reason }) => (
              <li key={license.id}>
                <code>{license.installationId}</code> <bdi>{license.customer.email}</bdi>
                <br />
                {reason}
              </li>
            ))}
          </ul>
        )}
        {isOver && left.length > 0 && (
          <p className={styles.said}>{counted(left.length, "license")} not tried.</p>
        )}
        <FormErrors error={undefined} failure={failure} />
        <FormActions pending={false}>
          {isOver ? (
            <Button kind="primary" onClick={onClose}>
              Close
            </Button>
          ) : (
            <Button onClick={() => stopping.current.abort()}>Stop</Button>
          )}
        </FormActions>
      </div>
    </Dialog>
  );
}

/** Does the same with each license, one after the other. A request that fails, other than by an error about its license,
 *  stops the batch. */
async function run(
  act: Act,
  licenses: readonly ListedLicenseFragment[],
  signal: AbortSignal,
  report: (progress: Progress) => void,
): Promise<Progress> {
  const client = plainClient();
  let progress: Progress = { changed: 0, failures: [], left: licenses, isOver: false, failure: null };
  report(progress);
  for (const [index, license] of licenses.entries()) {
    if (signal.aborted) break;
    const outcome = await act(client, license, signal);
    if (outcome.done) progress = { ...progress, changed: progress.changed + 1 };
    else if (outcome.failure) {
      progress = { ...progress, failure: outcome.failure };
      break;
    } else {
      const reason = sentencesOf(outcome.faults, { ...SUBJECTS, ...TERM_LABELS }) ?? "";
      progress = { ...progress, failures: [...progress.failures, { license, reason }] };
    }
    progress = { ...progress, left: licenses.slice(index + 1) };
    report(progress);
  }
  progress = { ...progress, isOver: true };
  report(progress);
  return progress;
}
