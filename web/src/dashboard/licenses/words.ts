/** How each status of a license is shown. */
export const STATUS = {
  ACTIVE: { tone: "good", label: "Active" },
  EXPIRED: { tone: "warn", label: "Expired" },
  REVOKED: { tone: "bad", label: "Revoked" },
} as const;
