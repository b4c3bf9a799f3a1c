import { useEffect, useRef } from "react";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Copy } from "../design/Copy";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { namesOf } from "../features/features";
import { date, dateAndTime, fromNow } from "../format";
import type { LicenseDetailsFragment } from "../graph/graphql";
import { useSession } from "../session/Session";
import { type Holder, LicenseMenu } from "./LicenseMenu";
import styles from "./Licenses.module.css";
import { useLicenseChanges } from "./useLicenseChanges";
import { useWanted } from "./useWanted";
import { STATUS } from "./words";

/** One license in a row: its status, tier, features, ids and expiry, and its actions. */
export function LicenseRow({ license, customer }: { license: LicenseDetailsFragment; customer: Holder }) {
  const { may } = useSession();
  const canWrite = may("WRITE_LICENSES");
  const change = useLicenseChanges(license);
  const { tone, label } = STATUS[license.status];
  const isRevoked = license.status === "REVOKED";
  const row = useRef<HTMLLIElement>(null);
  const isWanted = useWanted() === license.id;
  useEffect(() => {
    if (!isWanted) return;
    row.current?.scrollIntoView({ block: "center" });
    row.current?.focus({ preventScroll: true });
  }, [isWanted]);

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
        <LicenseMenu license={license} customer={customer} change={change} />
      </div>
      {license.revokedReason && (
        <p className={styles.reason}>
          Reason: <bdi>{license.revokedReason}</bdi>
        </p>
      )}
      {change.failure && change.failure.kind !== "key" && (
        <div className={styles.note}>
          <FailureNote failure={change.failure} />
        </div>
      )}
      {change.fault && (
        <p className={`${styles.note} ${forms.error}`} role="alert">
          {change.fault}
        </p>
      )}
    </li>
  );
}
