import { type FormEvent, useState } from "react";
import { useQuery } from "urql";
import { useLocation } from "wouter";
import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { Copy } from "../design/Copy";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { Failed, FailureNote, Loading } from "../design/States";
import { useToast } from "../design/Toasts";
import { only, orNull, useForm } from "../design/useForm";
import { useTitle } from "../design/useTitle";
import { Features } from "../features/Features";
import { counted } from "../format";
import {
  type AppDetailsFragment,
  AppSettingsDocument,
  type AppSettingsQuery,
  DeleteAppDocument,
  UpdateAppDocument,
} from "../graph/graphql";
import { NotFound } from "../NotFound";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { Tiers } from "../tiers/Tiers";
import { AppHeader } from "./AppHeader";
import styles from "./Settings.module.css";

export type AppView = NonNullable<AppSettingsQuery["app"]>;

/** An app itself: its names, its tiers and features, the key that verifies its licenses, its end. */
export function Settings({ slug }: { slug: string }) {
  const { canWrite } = useSession();
  const [{ data, error }, again] = useQuery({ query: AppSettingsDocument, variables: { slug } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  useTitle(data?.app ? `Settings of ${data.app.name}` : undefined);

  if (!data) return failure ? <Failed failure={failure} retry={retry} /> : <Loading what="settings" />;
  if (!data.app) return <NotFound what="app" />;
  const { app } = data;
  return (
    <>
      <AppHeader app={app} />
      {failure && <FailureNote failure={failure} retry={retry} />}
      <div className={styles.sections}>
        <About app={app} />
        <Tiers app={app} />
        <Features app={app} />
        <Signing app={app} />
        {canWrite && <Danger app={app} />}
      </div>
    </>
  );
}

const LABELS = { name: "Name", description: "Description", webhookUrl: "Webhook URL" };
const SUBJECTS = { ...LABELS, slug: "the app" };

function About({ app }: { app: AppView }) {
  const { canWrite } = useSession();
  const say = useToast();
  const { form, values, errors, bind, blame, changes, begin } = useForm(valuesOf(app), SUBJECTS);
  const { run, pending, failure } = useChange(UpdateAppDocument, "updateApp");

  async function submit(event: FormEvent) {
    event.preventDefault();
    const { slug, name, description, webhookUrl } = app;
    const after = {
      name: values.name,
      description: orNull(values.description),
      webhookUrl: orNull(values.webhookUrl),
    };
    const before = { name, description, webhookUrl };
    if (changes.length === 0) return;
    const outcome = await run({ slug, ...only(after, changes) });
    if (!outcome.done) {
      blame(outcome.faults);
      return;
    }
    if (outcome.payload.app) begin(valuesOf(outcome.payload.app));
    say({
      text: "App changed.",
      undo: async () => {
        const undone = await run({ slug, ...only(before, changes) });
        if (undone.done && undone.payload.app) begin(valuesOf(undone.payload.app));
        return undone;
      },
      undone: "The app is as before.",
    });
  }

  return (
    <section className={styles.section} aria-labelledby="about">
      <div className={styles.intro}>
        <h2 id="about">About</h2>
        <p>How people know the app. Its slug, {app.slug}, never changes.</p>
      </div>
      <form ref={form} onSubmit={submit} className={`${styles.panel} ${forms.form}`} noValidate>
        <Field label={LABELS.name} error={errors.name} required>
          {(props) => <input {...props} {...bind("name")} autoComplete="off" readOnly={!canWrite} />}
        </Field>
        <Field label={LABELS.description} error={errors.description}>
          {(props) => <textarea {...props} {...bind("description")} rows={3} readOnly={!canWrite} />}
        </Field>
        <Field label={LABELS.webhookUrl} error={errors.webhookUrl}>
          {(props) => (
            <input
              {...props}
              {...bind("webhookUrl")}
              type="url"
              placeholder="https://"
              readOnly={!canWrite}
            />
          )}
        </Field>
        <FormErrors error={errors[""]} failure={failure} />
        {canWrite && (
          <FormActions pending={pending}>
            <Button kind="primary" type="submit" pending={pending} disabled={changes.length === 0}>
              Save
            </Button>
          </FormActions>
        )}
      </form>
    </section>
  );
}

const valuesOf = ({ name, description, webhookUrl }: AppDetailsFragment) => ({
  name,
  description: description ?? "",
  webhookUrl: webhookUrl ?? "",
});

function Signing({ app }: { app: AppView }) {
  return (
    <section className={styles.section} aria-labelledby="signing">
      <div className={styles.intro}>
        <h2 id="signing">Signing</h2>
        <p>
          Tokens of this app's licenses are signed with {app.signingAlgorithm === "EDDSA" ? "EdDSA" : "RS256"}
          . Ship the public key with the app, and it verifies them offline.
        </p>
      </div>
      <div className={styles.panel}>
        <div className={styles.panelHead}>
          <h3>Public key</h3>
          <Copy text={app.publicKeyPem} what="public key" />
        </div>
        <pre className={styles.pem} tabIndex={0} role="region" aria-label="Public key">
          {app.publicKeyPem}
        </pre>
      </div>
    </section>
  );
}

function Danger({ app }: { app: AppView }) {
  const say = useToast();
  const [, navigate] = useLocation();
  const [isDeleting, setIsDeleting] = useState(false);
  const { run, pending, failure } = useChange(DeleteAppDocument, "deleteApp");
  const what = `${counted(app.customers.totalCount, "customer")} and ${counted(app.licenses.totalCount, "license")}`;
  return (
    <section className={styles.section} aria-labelledby="danger">
      <div className={styles.intro}>
        <h2 id="danger">Delete</h2>
        <p>Its customers and their licenses go with it.</p>
      </div>
      <div className={styles.panel}>
        <p>{what} belong to this app.</p>
        <Button kind="danger" onClick={() => setIsDeleting(true)}>
          Delete app…
        </Button>
      </div>
      {isDeleting && (
        <ConfirmDeletion
          title="Delete app"
          word={app.slug}
          wordIs="the app's slug"
          button="Delete app"
          pending={pending}
          failure={failure}
          onClose={() => setIsDeleting(false)}
          onConfirm={async () => {
            const outcome = await run({ slug: app.slug });
            if (!outcome.done) return sentencesOf(outcome.faults, SUBJECTS);
            const { deletedCustomerCount, deletedLicenseCount } = outcome.payload;
            navigate(paths.apps(), { replace: true });
            say({
              text: (
                <>
                  <bdi>{app.name}</bdi> was deleted, with {counted(deletedCustomerCount, "customer")} and{" "}
                  {counted(deletedLicenseCount, "license")}.
                </>
              ),
            });
            return null;
          }}
        >
          <p>
            <strong>{what}</strong> go with it. Whoever uses one of the licenses loses it. This cannot be
            undone.
          </p>
        </ConfirmDeletion>
      )}
    </section>
  );
}
