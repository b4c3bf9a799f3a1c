import { type FormEvent, useMemo, useState } from "react";
import { useQuery } from "urql";
import { useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { Choice } from "../design/Choice";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { useToast } from "../design/Toasts";
import { useForm } from "../design/useForm";
import { useThrottled } from "../design/useThrottled";
import {
  CustomerChoicesDocument,
  type LicenseDetailsFragment,
  TransferLicenseDocument,
} from "../graph/graphql";
import { BETWEEN_SEARCHES } from "../lists/SearchBox";
import styles from "./Licenses.module.css";
import { SUBJECTS } from "./useLicenseChanges";

/** The dialog that gives a license to another customer of the app. */
export function HandOverLicense({
  license,
  email,
  appSlug,
  onClose,
}: {
  license: LicenseDetailsFragment;
  /** The email of the license's customer. */
  email: string;
  appSlug: string;
  onClose: () => void;
}) {
  const say = useToast();
  const [search, setSearch] = useState("");
  const [text, setText] = useThrottled(search, setSearch, BETWEEN_SEARCHES);
  const filter = useMemo(() => (search.trim() ? { search: search.trim() } : {}), [search]);
  const [{ data, error, fetching }, again] = useQuery({
    query: CustomerChoicesDocument,
    variables: { slug: appSlug, filter },
    requestPolicy: "cache-and-network",
  });
  const searchFailure = useFailure(error);
  const { form, values, errors, set, blame, setErrors } = useForm(
    { customerId: "" },
    { ...SUBJECTS, customerId: "The new customer" },
  );
  const { run, pending, failure } = useChange(TransferLicenseDocument, "transferLicense");
  const { id, customer } = license;
  const found = data?.app?.customers.nodes.filter((each) => each.id !== customer.id) ?? [];

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (!found.some((each) => each.id === values.customerId)) {
      setErrors({ customerId: "Choose a customer." });
      return;
    }
    const outcome = await run({ id, customerId: values.customerId });
    const moved = outcome.done && outcome.payload.license;
    if (!moved) {
      if (!outcome.done) blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: (
        <>
          License handed over to <bdi>{moved.customer.email}</bdi>.
        </>
      ),
      undo: () => run({ id, customerId: customer.id, ifVersion: moved.version }),
      undone: (
        <>
          <bdi>{email}</bdi> has the license again.
        </>
      ),
    });
  }

  return (
    <Dialog title="Hand over license" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <p className={styles.quiet}>
          Another customer of the app gets the license of <bdi>{email}</bdi>. Its token stays the same.
        </p>
        <Field label="Search by email or name">
          {(props) => (
            <input
              {...props}
              value={text}
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter") event.preventDefault();
              }}
              inputMode="search"
              autoComplete="off"
              spellCheck={false}
            />
          )}
        </Field>
        <FieldGroup label="New customer" error={errors.customerId}>
          {found.map((each) => (
            <Choice
              key={each.id}
              name="customerId"
              label={each.name ?? each.email}
              hint={each.name ? each.email : undefined}
              checked={values.customerId === each.id}
              onChange={() => set("customerId", each.id)}
            />
          ))}
          {found.length === 0 && !searchFailure && (
            <p className={styles.quiet} role="status">
              {fetching ? "Searching…" : "No other customer is found."}
            </p>
          )}
        </FieldGroup>
        {searchFailure && (
          <FailureNote failure={searchFailure} retry={() => again({ requestPolicy: "network-only" })} />
        )}
        <FormErrors error={errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Hand over license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}
