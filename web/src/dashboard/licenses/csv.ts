/** Licenses as CSV (RFC 4180), for spreadsheets. */

import type { ListedLicenseFragment } from "../graph/graphql";

const COLUMNS: readonly [string, (license: ListedLicenseFragment) => string | null][] = [
  ["id", ({ id }) => id],
  ["status", ({ status }) => status.toLowerCase()],
  ["tier", ({ tier }) => tier?.slug ?? null],
  ["features", ({ features }) => features.join(" ")],
  ["trial", ({ trial }) => (trial ? "yes" : "no")],
  ["customer_id", ({ customer }) => customer.id],
  ["customer_email", ({ customer }) => customer.email],
  ["customer_name", ({ customer }) => customer.name],
  ["installation_id", ({ installationId }) => installationId],
  ["created_at", ({ createdAt }) => createdAt],
  ["expires_at", ({ expiresAt }) => expiresAt],
  ["revoked_at", ({ revokedAt }) => revokedAt],
  ["revoked_reason", ({ revokedReason }) => revokedReason],
  ["last_verified_at", ({ lastVerifiedAt }) => lastVerifiedAt],
  ["jti", ({ jti }) => jti],
];

/** The first line. The mark before it tells Excel that the file is in UTF-8. */
export const CSV_HEAD = `\uFEFF${COLUMNS.map(([name]) => name).join(",")}\r\n`;

/** Returns one line for each license. */
export const csvOf = (licenses: readonly ListedLicenseFragment[]): string =>
  licenses
    .map((license) => `${COLUMNS.map(([, value]) => cell(value(license) ?? "")).join(",")}\r\n`)
    .join("");

/** Returns a value as a cell. A spreadsheet would run a text that begins like a formula, so it gets an apostrophe. */
function cell(value: string): string {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lets the browser save a CSV file with these parts. */
export function saveCsv(parts: readonly BlobPart[], slug: string): void {
  const url = URL.createObjectURL(new Blob([...parts], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `licenses-${slug}-${new Date().toISOString().slice(0, 10)}.csv`;
  link.click();
  // Safari reads the file a moment after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
