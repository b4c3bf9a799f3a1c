import {
  ArrowRightLeft,
  Ban,
  CalendarPlus,
  Ellipsis,
  History,
  KeySquare,
  Pencil,
  RefreshCw,
  RotateCcw,
  ScrollText,
  Trash2,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import { useLocation } from "wouter";
import { Menu } from "../design/Menu";
import { namesOf } from "../features/features";
import type { AppFeaturesFragment, LicenseDetailsFragment } from "../graph/graphql";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { leave } from "../unsaved";
import { ChangeLicense } from "./ChangeLicense";
import { DeleteLicense } from "./DeleteLicense";
import { HandOverLicense } from "./HandOverLicense";
import { LicenseDetails } from "./LicenseDetails";
import { LicenseToken } from "./LicenseToken";
import { RenewLicense } from "./RenewLicense";
import { RevokeWithReason } from "./RevokeLicense";
import type { LicenseChanges } from "./useLicenseChanges";

/** The license's customer and app. */
export interface Holder {
  email: string;
  app: { slug: string; name: string } & AppFeaturesFragment;
}

type Open = "details" | "token" | "change" | "renew" | "hand over" | "reason" | "delete";

/** The menu with the actions of a license, and their dialogs. */
export function LicenseMenu({
  license,
  customer,
  change,
  isOnly = false,
}: {
  license: LicenseDetailsFragment;
  customer: Holder;
  change: LicenseChanges;
  /** True if there are no buttons beside the menu, so that it also revokes and reinstates. */
  isOnly?: boolean;
}) {
  const { may } = useSession();
  const [, navigate] = useLocation();
  const [open, setOpen] = useState<Open | null>(null);
  const { app } = customer;
  const canWrite = may("WRITE_LICENSES");
  const isActive = license.status === "ACTIVE";
  const isRevoked = license.status === "REVOKED";
  const close = () => setOpen(null);

  const item = (isOffered: boolean, label: string, icon: ReactNode, onChoose: () => void) =>
    isOffered ? [{ label, icon, onChoose }] : [];
  const items = [
    ...item(true, "Show details", <ScrollText size={16} aria-hidden />, () => setOpen("details")),
    ...item(may("READ_EVENTS"), "Show activity", <History size={16} aria-hidden />, () =>
      leave(() => navigate(activityOf(license, app.slug))),
    ),
    ...item(may("READ_TOKENS"), "Show token", <KeySquare size={16} aria-hidden />, () => setOpen("token")),
    ...item(canWrite, "Change…", <Pencil size={16} aria-hidden />, () => setOpen("change")),
    ...item(
      canWrite && !isRevoked && license.expiresAt !== null,
      "Renew…",
      <CalendarPlus size={16} aria-hidden />,
      () => setOpen("renew"),
    ),
    ...item(canWrite && may("READ_CUSTOMERS"), "Hand over…", <ArrowRightLeft size={16} aria-hidden />, () =>
      setOpen("hand over"),
    ),
    ...item(
      canWrite && isActive,
      "New token",
      <RefreshCw size={16} aria-hidden />,
      () => void change.regenerate(),
    ),
    ...item(
      canWrite && isOnly && !isRevoked,
      "Revoke",
      <Ban size={16} aria-hidden />,
      () => void change.revoke(),
    ),
    ...item(
      canWrite && isOnly && isRevoked,
      "Reinstate",
      <RotateCcw size={16} aria-hidden />,
      () => void change.reinstate(),
    ),
    ...item(canWrite && isActive, "Revoke with a reason…", <Ban size={16} aria-hidden />, () =>
      setOpen("reason"),
    ),
    ...item(canWrite, "Delete…", <Trash2 size={16} aria-hidden />, () => setOpen("delete")).map((each) => ({
      ...each,
      isDanger: true,
    })),
  ];

  return (
    <>
      <Menu label="More actions" icon={<Ellipsis size={18} aria-hidden />} items={items} />
      {open === "details" && (
        <LicenseDetails license={license} features={namesOf(license.features, app)} onClose={close} />
      )}
      {open === "token" && <LicenseToken license={license} appName={app.name} onClose={close} />}
      {open === "change" && <ChangeLicense license={license} appSlug={app.slug} onClose={close} />}
      {open === "renew" && <RenewLicense license={license} onClose={close} />}
      {open === "hand over" && (
        <HandOverLicense license={license} email={customer.email} appSlug={app.slug} onClose={close} />
      )}
      {open === "reason" && <RevokeWithReason license={license} onClose={close} />}
      {open === "delete" && <DeleteLicense license={license} email={customer.email} onClose={close} />}
    </>
  );
}

/** Returns the path of the license's activity. */
const activityOf = ({ id, customer }: LicenseDetailsFragment, slug: string): string =>
  `${paths.customerActivity(slug, customer.id)}?of=${encodeURIComponent(id)}`;
