import { Ban, Braces, Ellipsis, KeySquare, RefreshCw, RotateCcw, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useClient } from "urql";
import { type Failure, failureOf } from "../client/failures";
import { sentencesOf } from "../client/faults";
import { type Outcome, useChange } from "../client/useChange";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { ConfirmDeletion } from "../design/ConfirmDeletion";
import { Copy } from "../design/Copy";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import { FormActions, FormErrors } from "../design/Form";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { Menu } from "../design/Menu";
import { FailureNote } from "../design/States";
import { useToast } from "../design/Toasts";
import { orNull, useForm } from "../design/useForm";
import { date, dateAndTime, fromNow } from "../format";
import {
  DeleteLicenseDocument,
  type LicenseDetailsFragment,
  LicenseTokenDocument,
  RegenerateLicenseDocument,
  ReinstateLicenseDocument,
  RevokeLicenseDocument,
} from "../graph/graphql";
import { useSession } from "../session/Session";
import styles from "./Licenses.module.css";

const STATUS = {
  ACTIVE: { tone: "good", label: "Active" },
  EXPIRED: { tone: "warn", label: "Expired" },
  REVOKED: { tone: "bad", label: "Revoked" },
} as const;

type Open = "reason" | "token" | "metadata" | "delete";

/** One license: what it is, until when, and what can be done with it. */
export function LicenseCard({ license, email }: { license: LicenseDetailsFragment; email: string }) {
  const { canWrite, viewer } = useSession();
  const [open, setOpen] = useState<Open | null>(null);
  const change = useLicenseChanges(license);
  const { tone, label } = STATUS[license.status];
  const isRevoked = license.status === "REVOKED";
  const close = () => setOpen(null);

  const items = [
    ...(viewer.scopes.includes("READ_TOKENS")
      ? [{ label: "Show token", icon: <KeySquare size={16} aria-hidden />, onChoose: () => setOpen("token") }]
      : []),
    ...(Object.keys(license.metadata).length > 0
      ? [
          {
            label: "Show metadata",
            icon: <Braces size={16} aria-hidden />,
            onChoose: () => setOpen("metadata"),
          },
        ]
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

  return (
    <li className={styles.card} aria-label={`${label} license for ${license.installationId}`}>
      <div className={styles.top}>
        <Badge tone={tone}>{label}</Badge>
        {license.tier && <bdi className={styles.tier}>{license.tier.name}</bdi>}
        <span className={styles.space} />
        {canWrite &&
          (isRevoked ? (
            <Button size="small" pending={change.pending} onClick={() => void change.reinstate()}>
              <RotateCcw size={14} aria-hidden /> Reinstate
            </Button>
          ) : (
            <Button size="small" pending={change.pending} onClick={() => void change.revoke()}>
              <Ban size={14} aria-hidden /> Revoke
            </Button>
          ))}
        {items.length > 0 && (
          <Menu label="More actions" icon={<Ellipsis size={18} aria-hidden />} items={items} />
        )}
      </div>
      <p className={styles.installation}>
        <span>Installation</span>
        <code>{license.installationId}</code>
        <Copy text={license.installationId} what="installation" />
      </p>
      <dl className={styles.dates}>
        <div>
          <dt>Issued</dt>
          <dd title={dateAndTime(license.createdAt)}>{date(license.createdAt)}</dd>
        </div>
        <div>
          <dt>{license.status === "EXPIRED" ? "Expired" : "Expires"}</dt>
          <dd title={license.expiresAt ? dateAndTime(license.expiresAt) : undefined}>
            {license.expiresAt ? (
              <>
                {date(license.expiresAt)} <span>{fromNow(license.expiresAt)}</span>
              </>
            ) : (
              "never"
            )}
          </dd>
        </div>
        {license.revokedAt && (
          <div>
            <dt>Revoked</dt>
            <dd title={dateAndTime(license.revokedAt)}>
              {date(license.revokedAt)}
              {license.revokedReason && <bdi className={styles.reason}>{license.revokedReason}</bdi>}
            </dd>
          </div>
        )}
      </dl>
      {license.features.length > 0 && (
        <ul className={styles.features} aria-label="Features">
          {license.features.map((feature) => (
            <li key={feature}>
              <Badge>{feature}</Badge>
            </li>
          ))}
        </ul>
      )}
      {change.failure && change.failure.kind !== "key" && open !== "reason" && (
        <FailureNote failure={change.failure} />
      )}
      {change.fault && (
        <p className={forms.error} role="alert">
          {change.fault}
        </p>
      )}
      {open === "reason" && <RevokeWithReason change={change} onClose={close} />}
      {open === "token" && <Token license={license} onClose={close} />}
      {open === "metadata" && (
        <Dialog title="Metadata of the license" onClose={close}>
          <Json value={license.metadata} className={styles.json} label="Metadata of the license" />
        </Dialog>
      )}
      {open === "delete" && <DeleteLicense license={license} email={email} onClose={close} />}
    </li>
  );
}

/** What changes a license and can be taken back. */
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
      say({ text: "The license has a new token. The one before it stays valid until it expires." });
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
        <Field label="Reason" hint="For your own records, at most 500 characters." error={errors.reason}>
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

/** A license's token, read only when somebody wants to see it. */
function Token({ license, onClose }: { license: LicenseDetailsFragment; onClose: () => void }) {
  const client = useClient();
  const [token, setToken] = useState<string | null | undefined>(undefined);
  const [failure, setFailure] = useState<Failure | null>(null);
  async function read() {
    setFailure(null);
    const { data, error } = await client
      .query(LicenseTokenDocument, { id: license.id }, { requestPolicy: "network-only" })
      .toPromise();
    if (error) setFailure(failureOf(error));
    else setToken(data?.license?.token ?? null);
  }
  return (
    <Dialog title="Token" onClose={onClose} wide>
      <div className={forms.form}>
        <p className={styles.quiet}>
          Whoever has the token can use the license and renew it. Hand it to the customer alone.
        </p>
        {token === undefined && (
          <div>
            <Button kind="primary" onClick={() => void read()}>
              Show the token
            </Button>
          </div>
        )}
        {failure && <FailureNote failure={failure} retry={() => void read()} />}
        {token === null && <p>This license has no token yet. Make a new one from its menu.</p>}
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
        The license of installation <code>{license.installationId}</code> and its history are gone then. To
        keep the history, revoke it instead. Deleting cannot be undone.
      </p>
    </ConfirmDeletion>
  );
}
