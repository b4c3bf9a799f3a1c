import { Badge } from "../design/Badge";
import { Detail, Details } from "../design/Details";
import { Dialog } from "../design/Dialog";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { dateAndTime } from "../format";
import type { LicenseDetailsFragment } from "../graph/graphql";
import styles from "./Licenses.module.css";
import { STATUS } from "./words";

/** The dialog with everything about a license. */
export function LicenseDetails({
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
          <Detail label="Last verified">
            {license.lastVerifiedAt ? dateAndTime(license.lastVerifiedAt) : "Never"}
          </Detail>
          {license.trial && <Detail label="Trial">Yes</Detail>}
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
