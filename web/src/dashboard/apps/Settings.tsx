import { type FormEvent, useState } from "react";
import { useQuery } from "urql";
import { useLocation } from "wouter";
import { sentencesOf } from "../client/faults";
import { useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { Detail, Details } from "../design/Details";
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
import { Signing } from "./Signing";

export type AppView = NonNullable<AppSettingsQuery["app"]>;

/** An app's settings: its name, description and webhook URL, its tiers, features and signing keys, and its deletion. */
export function Settings({ slug }: { slug: string }) {
  const { may } = useSession();
  const canWrite = may("WRITE_CATALOG");
  const [{ data, error }, again] = useQuery({
    query: AppSettingsDocument,
    variables: { slug, withCustomers: may("READ_CUSTOMERS") },
  });
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
        <section className={styles.section} aria-labelledby="about">
          <div className={styles.intro}>
            <h2 id="about">About</h2>
            <p>The app's name and description. Its slug, {app.slug}, cannot be changed.</p>
          </div>
          {canWrite ? <AboutForm app={app} /> : <About app={app} />}
        </section>
        <Tiers app={app} />
        <Features app={app} />
        <Signing app={app} keys={data.signingKeys ?? []} />
        {canWrite && <Danger app={app} />}
      </div>
    </>
  );
}

const LABELS = { name: "Name", description: "Description", webhookUrl: "Webhook URL" };
const SUBJECTS = { ...LABELS, slug: "the app" };

function About({ app }: { app: AppView }) {
  return (
    <div className={styles.panel}>
      <Details>
        <Detail label={LABELS.name}>
          <bdi>{app.name}</bdi>
        </Detail>
        <Detail label={LABELS.description}>{app.description && <bdi>{app.description}</bdi>}</Detail>
        <Detail label={LABELS.webhookUrl}>{app.webhookUrl && <bdi>{app.webhookUrl}</bdi>}</Detail>
      </Details>
    </div>
  );
}

function AboutForm({ app }: { app: AppView }) {
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
      undone: "The change to the app was undone.",
    });
  }

  return (
    <form ref={form} onSubmit={submit} className={`${styles.panel} ${forms.form}`} noValidate>
      <Field label={LABELS.name} error={errors.name} required>
        {(props) => <input {...props} {...bind("name")} autoComplete="off" />}
      </Field>
      <Field label={LABELS.description} error={errors.description}>
        {(props) => <textarea {...props} {...bind("description")} rows={3} />}
      </Field>
      <Field label={LABELS.webhookUrl} error={errors.webhookUrl}>
        {(props) => <input {...props} {...bind("webhookUrl")} type="url" placeholder="https://" />}
      </Field>
      <FormErrors error={errors[""]} failure={failure} />
      <FormActions pending={pending}>
        <Button kind="primary" type="submit" pending={pending} disabled={changes.length === 0}>
          Save
        </Button>
      </FormActions>
    </form>
  );
}

const valuesOf = ({ name, description, webhookUrl }: AppDetailsFragment) => ({
  name,
  description: description ?? "",
  webhookUrl: webhookUrl ?? "",
});

function Danger({ app }: { app: AppView }) {
  const say = useToast();
  const [, navigate] = useLocation();
  const [isDeleting, setIsDeleting] = useState(false);
  const { run, pending, failure } = useChange(DeleteAppDocument, "deleteApp");
  // If the key cannot read customers, their number is not known.
  const customers = app.customers ? counted(app.customers.totalCount, "customer") : "Its customers";
  const what = `${customers} and ${counted(app.licenses.totalCount, "license")}`;
  return (
    <section className={styles.section} aria-labelledby="danger">
      <div className={styles.intro}>
        <h2 id="danger">Delete</h2>
        <p>Deleting an app also deletes its customers and their licenses.</p>
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
            <strong>{what}</strong> will also be deleted. Nobody can use these licenses afterwards. This
            cannot be undone.
          </p>
        </ConfirmDeletion>
      )}
    </section>
  );
}
