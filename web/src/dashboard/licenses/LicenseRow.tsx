import { Ban, Ellipsis, History, KeySquare, RefreshCw, ScrollText, Trash2 } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useQuery } from "urql";
import { useLocation } from "wouter";
import { sentencesOf } from "../client/faults";
import { type Outcome, useChange } from "../client/useChange";
import { useFailure } from "../client/useFailure";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { Copy } from "../design/Copy";
import { Detail, Details } from "../design/Details";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { Menu } from "../design/Menu";
import { FailureNote, Loading } from "../design/States";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { namesOf } from "../features/features";
import { date, dateAndTime, fromNow } from "../format";
import {
  type CustomerQuery,
  DeleteLicenseDocument,
  type LicenseDetailsFragment,
  LicenseTokenDocument,
  RegenerateLicenseDocument,
  ReinstateLicenseDocument,
  RevokeLicenseDocument,
} from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { leave } from "../unsaved";
import styles from "./Licenses.module.css";
import { useWanted } from "./useWanted";
import { STATUS } from "./words";

/** The license's customer. */
type Holder = Pick<NonNullable<CustomerQuery["customer"]>, "email" | "app">;

type Open = "details" | "reason" | "token" | "delete";

/** Returns the path of the license's activity. */
const activityOf = ({ id, customer }: LicenseDetailsFragment, { app }: Holder): string =>
  `${paths.customerActivity(app.slug, customer.id)}?of=${encodeURIComponent(id)}`;

/** One license in a row: its status, tier, features, ids and expiry, and its actions. */
export function LicenseRow({ license, customer }: { license: LicenseDetailsFragment; customer: Holder }) {
  const { may } = useSession();
  const canWrite = may("WRITE_LICENSES");
  const [, navigate] = useLocation();
  const [open, setOpen] = useState<Open | null>(null);
  const change = useLicenseChanges(license);
  const { tone, label } = STATUS[license.status];
  const isRevoked = license.status === "REVOKED";
  const close = () => setOpen(null);
  const row = useRef<HTMLLIElement>(null);
  const isWanted = useWanted() === license.id;
  useEffect(() => {
    if (!isWanted) return;
    row.current?.scrollIntoView({ block: "center" });
    row.current?.focus({ preventScroll: true });
  }, [isWanted]);

  const items = [
    {
      label: "Show details",
      icon: <ScrollText size={16} aria-hidden />,
      onChoose: () => setOpen("details"),
    },
    ...(may("READ_EVENTS")
      ? [
          {
            label: "Show activity",
            icon: <History size={16} aria-hidden />,
            onChoose: () => leave(() => navigate(activityOf(license, customer))),
          },
        ]
      : []),
    ...(may("READ_TOKENS")
      ? [{ label: "Show token", icon: <KeySquare size={16} aria-hidden />, onChoose: () => setOpen("token") }]
      : []),
    ...(canWrite && license.status === "ACTIVE"
      ? [
          {
            label: "New token",
            icon: <RefreshCw size={16} aria-hidden />,
            onChoose: () => void change.renew(),
          },
          {
            label: "Revoke with a reason…",
            icon: <Ban size={16} aria-hidden />,
            onChoose: () => setOpen("reason"),
          },
        ]
      : []),
    ...(canWrite
      ? [
          {
            label: "Delete…",
            icon: <Trash2 size={16} aria-hidden />,
            isDanger: true,
            onChoose: () => setOpen("delete"),
          },
        ]
      : []),
  ];

  const names = namesOf(license.features, customer.app);
  return (
    <li
      ref={row}
      id={isWanted ? license.id : undefined}
      className={`${styles.row} ${isWanted ? styles.wanted : ""}`}
      aria-label={`${label} license for ${license.installationId}`}
      tabIndex={isWanted ? -1 : undefined}
    >
      <span className={styles.status}>
        <Badge tone={tone}>{label}</Badge>
      </span>
      <div className={styles.grant}>
        {license.tier ? (
          <bdi className={styles.tier} title={license.tier.name}>
            {license.tier.name}
          </bdi>
        ) : (
          <span className={styles.quiet}>No tier</span>
        )}
        {names.length > 0 && (
          <ul className={styles.features} aria-label="Features" title={names.join(", ")}>
            {names.map((name, index) => (
              <li key={license.features[index]}>
                <bdi>{name}</bdi>
              </li>
            ))}
          </ul>
        )}
      </div>
      <dl className={styles.ids}>
        <div>
          <dt>License</dt>
          <dd>
            <code>{license.id}</code>
            <Copy text={license.id} what="license ID" />
          </dd>
        </div>
        <div>
          <dt>Installation</dt>
          <dd>
            <code>{license.installationId}</code>
            <Copy text={license.installationId} what="installation" />
          </dd>
        </div>
      </dl>
      <dl className={styles.dates}>
        <div>
          <dt>{license.status === "EXPIRED" ? "Expired" : "Expires"}</dt>
          <dd title={license.expiresAt ? dateAndTime(license.expiresAt) : undefined}>
            {license.expiresAt ? (
              <>
                {date(license.expiresAt)} {!isRevoked && <span>{fromNow(license.expiresAt)}</span>}
              </>
            ) : (
              "Never"
            )}
          </dd>
        </div>
        {license.revokedAt && (
          <div className={styles.revoked}>
            <dt>Revoked</dt>
            <dd title={dateAndTime(license.revokedAt)}>{date(license.revokedAt)}</dd>
          </div>
        )}
      </dl>
      <div className={styles.actions}>
        {canWrite &&
          (isRevoked ? (
            <Button size="small" pending={change.pending} onClick={() => void change.reinstate()}>
              Reinstate
            </Button>
          ) : (
            <Button size="small" pending={change.pending} onClick={() => void change.revoke()}>
              Revoke
            </Button>
          ))}
        <Menu label="More actions" icon={<Ellipsis size={18} aria-hidden />} items={items} />
      </div>
      {license.revokedReason && (
        <p className={styles.reason}>
          Reason: <bdi>{license.revokedReason}</bdi>
        </p>
      )}
      {change.failure && change.failure.kind !== "key" && open !== "reason" && (
        <div className={styles.note}>
          <FailureNote failure={change.failure} />
        </div>
      )}
      {change.fault && (
        <p className={`${styles.note} ${forms.error}`} role="alert">
          {change.fault}
        </p>
      )}
      {open === "details" && <LicenseDetails license={license} features={names} onClose={close} />}
      {open === "reason" && <RevokeWithReason change={change} onClose={close} />}
      {open === "token" && <Token license={license} onClose={close} />}
      {open === "delete" && <DeleteLicense license={license} email={customer.email} onClose={close} />}
    </li>
  );
}

/** The dialog with everything about a license. */
function LicenseDetails({
  license,
  features,
  onClose,
}: {
  license: LicenseDetailsFragment;
  /** The names of the license's features. */
  features: readonly string[];
  onClose: () => void;
}) {
  const { expiresAt, revokedAt, revokedReason, metadata } = license;
  return (
    <Dialog title="License" onClose={onClose} wide>
      <div className={forms.form}>
        <Details>
          <Detail label="ID" copied={license.id}>
            <code>{license.id}</code>
          </Detail>
          <Detail label="Installation" copied={license.installationId}>
            <code>{license.installationId}</code>
          </Detail>
          <Detail label="Status">{STATUS[license.status].label}</Detail>
          <Detail label="Tier">{license.tier ? <bdi>{license.tier.name}</bdi> : "No tier"}</Detail>
          <Detail label="Features">
            {features.length > 0 && (
              <span className={styles.badges}>
                {features.map((name, index) => (
                  <Badge key={license.features[index]}>
                    <bdi>{name}</bdi>
                  </Badge>
                ))}
              </span>
            )}
          </Detail>
          <Detail label="Issued">{dateAndTime(license.createdAt)}</Detail>
          <Detail label="Expires">{expiresAt ? dateAndTime(expiresAt) : "Never"}</Detail>
          {revokedAt && <Detail label="Revoked">{dateAndTime(revokedAt)}</Detail>}
          {revokedAt && <Detail label="Reason">{revokedReason && <bdi>{revokedReason}</bdi>}</Detail>}
          <Detail label="Token ID" copied={license.jti}>
            <code>{license.jti}</code>
          </Detail>
        </Details>
        <div>
          <h3 className={styles.metadata}>Metadata</h3>
          {Object.keys(metadata).length > 0 ? (
            <Json value={metadata} className={styles.json} label="Metadata of the license" />
          ) : (
            <p className={styles.quiet}>No metadata.</p>
          )}
        </div>
      </div>
    </Dialog>
  );
}

/** Returns functions that change a license, and their state. All changes except a new token can be undone. */
function useLicenseChanges(license: LicenseDetailsFragment) {
  const say = useToast();
  const [fault, setFault] = useState<string | null>(null);
  const revocation = useChange(RevokeLicenseDocument, "revokeLicense");
  const reinstatement = useChange(ReinstateLicenseDocument, "reinstateLicense");
  const renewal = useChange(RegenerateLicenseDocument, "regenerateLicense");
  const { id } = license;

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
    if (!outcome.done) setFault(sentencesOf(outcome.faults, SUBJECTS));
  }

  async function reinstate(): Promise<void> {
    setFault(null);
    const reason = license.revokedReason;
    const outcome = await reinstatement.run({ id });
    if (!outcome.done) {
      setFault(sentencesOf(outcome.faults, SUBJECTS));
      return;
    }
    say({
      text: "License reinstated.",
      undo: () => revocation.run({ id, reason }),
      undone: "License revoked again.",
    });
  }

  async function renew(): Promise<void> {
    setFault(null);
    const outcome = await renewal.run({ id });
    if (outcome.done)
      say({ text: "The license has a new token. The previous token stays valid until it expires." });
    else setFault(sentencesOf(outcome.faults, { id: "this" }));
  }

  return {
    revoke,
    revokeWithReason: send,
    reinstate,
    renew,
    fault,
    pending: revocation.pending || reinstatement.pending || renewal.pending,
    failure: revocation.failure ?? reinstatement.failure ?? renewal.failure,
  };
}

const SUBJECTS = { id: "the license", installationId: "the installation", reason: "Reason" };

function RevokeWithReason({
  change,
  onClose,
}: {
  change: ReturnType<typeof useLicenseChanges>;
  onClose: () => void;
}) {
  const { form, values, errors, bind, blame } = useForm({ reason: "" }, SUBJECTS);
  async function submit(event: FormEvent) {
    event.preventDefault();
    const outcome = await change.revokeWithReason(orNull(values.reason));
    if (outcome.done) onClose();
    else blame(outcome.faults);
  }
  return (
    <Dialog title="Revoke license" onClose={onClose}>
      <form ref={form} onSubmit={submit} className={forms.form} noValidate>
        <Field label="Reason" hint="For your records. At most 500 characters." error={errors.reason}>
          {(props) => <textarea {...props} {...bind("reason")} rows={3} />}
        </Field>
        <FormErrors error={errors[""]} failure={change.failure} />
        <FormActions pending={change.pending}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" pending={change.pending}>
            Revoke license
          </Button>
        </FormActions>
      </form>
    </Dialog>
  );
}

/** The dialog with a license's token. The token is only fetched when the dialog opens. */
function Token({ license, onClose }: { license: LicenseDetailsFragment; onClose: () => void }) {
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
          </>
        )}
      </div>
    </Dialog>
  );
}

function DeleteLicense({
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
