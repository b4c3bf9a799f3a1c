/** The dialogs that create and change a key. */

import { type FormEvent, useState } from "react";
import { type Outcome, useChange } from "../client/useChange";
import { Button } from "../design/Button";
import { Choice, Segment } from "../design/Choice";
import { Dialog } from "../design/Dialog";
import { Field, FieldGroup } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { useToast } from "../design/Toasts";
import { only, useForm } from "../design/useForm";
import { dayOf, endOfDay } from "../format";
import {
  CreateApiKeyDocument,
  type CreateApiKeyInput,
  type DocumentPolicy,
  type KeyDetailsFragment,
  type KeyKind,
  type Scope,
  UpdateApiKeyDocument,
} from "../graph/graphql";
import { useSession } from "../session/Session";
import { AppChoices } from "./AppChoices";
import styles from "./KeyForm.module.css";
import { ScopeChoices } from "./ScopeChoices";
import { useShowToken } from "./Token";
import { KINDS, nameOf } from "./words";

const LABELS = {
  name: "Name",
  kind: "Kind",
  scopes: "Scopes",
  appSlugs: "Apps",
  origins: "Origins",
  documents: "Documents",
  documentSets: "Sets",
  expiresAt: "Last day",
};
const SUBJECTS = { ...LABELS, id: "the key" };

/** The values of the form. `reach` and `term` say whether `appSlugs` and `expiresAt` are used. */
type Values = {
  name: string;
  kind: KeyKind;
  scopes: readonly Scope[];
  reach: "all" | "some";
  appSlugs: readonly string[];
  origins: string;
  /** Empty until the user chooses: the default depends on the kind. */
  documents: DocumentPolicy | "";
  documentSets: string;
  term: "never" | "until";
  expiresAt: string;
};

const NEW: Values = {
  name: "",
  kind: "RESTRICTED",
  scopes: [],
  reach: "all",
  appSlugs: [],
  origins: "",
  documents: "",
  documentSets: "",
  term: "never",
  expiresAt: "",
};

const valuesOf = (key: KeyDetailsFragment): Values => ({
  name: key.name ?? "",
  kind: key.kind,
  scopes: key.scopes,
  reach: key.apps ? "some" : "all",
  appSlugs: key.apps?.map((app) => app.slug) ?? [],
  origins: key.origins?.join("\n") ?? "",
  documents: key.documents,
  documentSets: key.documentSets?.join("\n") ?? "",
  term: key.expiresAt ? "until" : "never",
  expiresAt: key.expiresAt ? dayOf(key.expiresAt) : "",
});

/** Returns the input for a key with these values. */
const inputOf = (values: Values): CreateApiKeyInput => ({
  kind: values.kind,
  name: values.name,
  ...(values.kind !== "SECRET" && { scopes: [...scopesOf(values)] }),
  appSlugs: values.reach === "all" ? null : [...values.appSlugs],
  origins: linesOf(values.origins),
  documents: documentsOf(values),
  documentSets: documentsOf(values) === "REGISTERED" ? linesOf(values.documentSets) : null,
  expiresAt: values.term === "never" ? null : endOfDay(values.expiresAt),
});

/** The input field that a value belongs to, for each value whose name is not that of an input field. */
const FIELD_OF: Readonly<Record<string, string>> = { reach: "appSlugs", term: "expiresAt" };

/** Returns the chosen scopes that this kind of key can have. The others stay chosen in case the kind is changed. A public
 *  key always has READ. */
function scopesOf({ kind, scopes }: Values): readonly Scope[] {
  if (kind !== "PUBLIC") return scopes;
  return ["READ", ...scopes.filter((scope) => scope === "READ_CUSTOMERS")];
}

function documentsOf({ kind, documents }: Values): DocumentPolicy {
  return documents || (kind === "PUBLIC" ? "REGISTERED" : "ANY");
}

/** Returns the parts of a text between spaces, commas and line breaks, or null if there are none. */
function linesOf(text: string): string[] | null {
  const lines = text.split(/[\s,]+/).filter(Boolean);
  return lines.length > 0 ? lines : null;
}

/** Returns an error for each field that must be fixed before these values can be sent. */
function missing(values: Values): Record<string, string> {
  return {
    ...(values.kind !== "SECRET" &&
      scopesOf(values).length === 0 && { scopes: "Choose at least one scope." }),
    ...(values.reach === "some" && values.appSlugs.length === 0 && { appSlugs: "Choose at least one app." }),
    ...(values.term === "until" && !endOfDay(values.expiresAt) && { expiresAt: "Enter a date." }),
  };
}

/** The dialog that creates a key. */
export function CreateKey({ onClose, onCreated }: { onClose: () => void; onCreated: (id: string) => void }) {
  const showToken = useShowToken();
  const { run, pending, failure } = useChange(CreateApiKeyDocument, "createApiKey");
  const form = useForm<Values>(NEW, SUBJECTS);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const wrong = missing(form.values);
    if (Object.keys(wrong).length > 0) {
      form.setErrors(wrong);
      return;
    }
    const outcome = await run(inputOf(form.values));
    const { apiKey, token } = outcome.done ? outcome.payload : {};
    if (!apiKey || !token) {
      if (!outcome.done) form.blame(outcome.faults);
      return;
    }
    onCreated(apiKey.id);
    showToken({ token, name: nameOf(apiKey) });
  }

  return (
    <Dialog title="New key" onClose={onClose} wide>
      <form ref={form.form} onSubmit={submit} className={forms.form} noValidate>
        <KeyFields form={form} />
        <FormErrors error={form.errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Create key
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

/** The dialog that changes a key. The change can be undone. */
export function EditKey({ apiKey, onClose }: { apiKey: KeyDetailsFragment; onClose: () => void }) {
  const say = useToast();
  const { viewer, refresh } = useSession();
  const { run, pending, failure } = useChange(UpdateApiKeyDocument, "updateApiKey");
  const before = valuesOf(apiKey);
  const form = useForm<Values>(before, SUBJECTS);

  /** Sends the input fields with these names. If the user's own key has changed, asks the server for its scopes
   *  again. */
  async function send(values: Values, names: readonly string[]): Promise<Outcome<unknown>> {
    const outcome = await run({ id: apiKey.id, ...only(inputOf(values), names) });
    if (outcome.done && apiKey.id === viewer.keyId) refresh();
    return outcome;
  }

  async function submit(event: FormEvent) {
    event.preventDefault();
    const names = form.changes.map((name) => FIELD_OF[name] ?? name);
    const wrong = only(missing(form.values), names) as Record<string, string>;
    if (Object.keys(wrong).length > 0) {
      form.setErrors(wrong);
      return;
    }
    if (names.length === 0) {
      onClose();
      return;
    }
    const outcome = await send(form.values, names);
    if (!outcome.done) {
      form.blame(outcome.faults);
      return;
    }
    onClose();
    say({
      text: "Key changed.",
      undo: () => send(before, names),
      undone: "The change to the key was undone.",
    });
  }

  return (
    <Dialog title="Edit key" onClose={onClose} wide>
      <form ref={form.form} onSubmit={submit} className={forms.form} noValidate>
        <KeyFields form={form} apiKey={apiKey} />
        <FormErrors error={form.errors[""]} failure={failure} />
        <FormActions pending={pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={pending}>
            Save
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

/** The fields of a key. The kind of an existing key cannot be changed. */
function KeyFields({
  form: { values, errors, bind, set },
  apiKey,
}: {
  form: ReturnType<typeof useForm<Values>>;
  apiKey?: KeyDetailsFragment;
}) {
  const { viewer } = useSession();
  const [hasSets, setHasSets] = useState(values.documentSets !== "");
  const { kind } = values;
  const kinds: readonly KeyKind[] =
    viewer.keyKind === "SECRET" ? ["RESTRICTED", "PUBLIC", "SECRET"] : ["RESTRICTED", "PUBLIC"];
  const documents = documentsOf(values);
  return (
    <>
      <Field
        label={LABELS.name}
        error={errors.name}
        hint="Where the key is used, for example: crm sync."
        required
      >
        {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
      </Field>
      {!apiKey && (
        <FieldGroup label={LABELS.kind} error={errors.kind}>
          {kinds.map((each) => (
            <Choice
              key={each}
              name="kind"
              label={KINDS[each].label}
              hint={KINDS[each].hint}
              checked={kind === each}
              onChange={() => set("kind", each)}
            />
          ))}
        </FieldGroup>
      )}
      {kind !== "SECRET" && (
        <ScopeChoices
          label={LABELS.scopes}
          error={errors.scopes}
          kind={kind}
          chosen={scopesOf(values)}
          had={apiKey?.scopes ?? []}
          onChange={(scopes) => set("scopes", scopes)}
        />
      )}
      {kind === "PUBLIC" && scopesOf(values).includes("READ_CUSTOMERS") && (
        <div className={forms.warning}>
          <p>
            Anyone who sees the key can read the email and metadata of{" "}
            {documents === "REGISTERED"
              ? "every customer that a registered document asks for"
              : "every customer"}
            . For the users of your app, create sessions instead.
          </p>
        </div>
      )}
      <FieldGroup label={LABELS.appSlugs} error={errors.appSlugs}>
        <div className={forms.segments}>
          <Segment
            name="reach"
            label={viewer.isLimitedToApps ? "All apps of your key" : "All apps"}
            checked={values.reach === "all"}
            onChange={() => set("reach", "all")}
          />
          <Segment
            name="reach"
            label="Only some"
            checked={values.reach === "some"}
            onChange={() => set("reach", "some")}
          />
        </div>
        {values.reach === "some" && (
          <AppChoices
            known={apiKey?.apps ?? []}
            chosen={values.appSlugs}
            onChange={(slugs) => set("appSlugs", slugs)}
          />
        )}
      </FieldGroup>
      <Field
        label={LABELS.origins}
        error={errors.origins}
        hint="Origins of the pages that use the key, one per line. Requests from other pages are refused. Leave empty for keys on servers. This does not stop programs, which can send any origin."
      >
        {(props) => (
          <textarea
            {...props}
            {...bind("origins")}
            className={styles.lines}
            rows={2}
            placeholder="https://portal.example.com"
            autoCapitalize="none"
            spellCheck={false}
          />
        )}
      </Field>
      <FieldGroup label={LABELS.documents} error={errors.documents}>
        <Choice
          name="documents"
          label="Any"
          hint="The key runs every document, within its scopes."
          checked={documents === "ANY"}
          onChange={() => set("documents", "ANY")}
        />
        <Choice
          name="documents"
          label="Registered only"
          hint="The key runs the documents that your builds register, and nothing else."
          checked={documents === "REGISTERED"}
          onChange={() => set("documents", "REGISTERED")}
        />
      </FieldGroup>
      {documents === "REGISTERED" &&
        (hasSets || errors.documentSets ? (
          <Field
            label={LABELS.documentSets}
            error={errors.documentSets}
            hint="One per line. Leave empty to allow every set."
          >
            {(props) => (
              <textarea
                {...props}
                {...bind("documentSets")}
                className={styles.lines}
                rows={2}
                placeholder="portal@1.4.2"
                autoCapitalize="none"
                spellCheck={false}
              />
            )}
          </Field>
        ) : (
          <div>
            <Button size="small" onClick={() => setHasSets(true)}>
              Only some sets
            </Button>
          </div>
        ))}
      <FieldGroup label="Expiry">
        <div className={forms.segments}>
          <Segment
            name="term"
            label="Never"
            checked={values.term === "never"}
            onChange={() => set("term", "never")}
          />
          <Segment
            name="term"
            label="On a date"
            checked={values.term === "until"}
            onChange={() => set("term", "until")}
          />
        </div>
      </FieldGroup>
      {(values.term === "until" || errors.expiresAt) && (
        <Field
          label={LABELS.expiresAt}
          error={errors.expiresAt}
          hint="The key expires at the end of this day."
          required
        >
          {(props) => <input {...props} {...bind("expiresAt")} type="date" />}
        </Field>
      )}
    </>
  );
}
