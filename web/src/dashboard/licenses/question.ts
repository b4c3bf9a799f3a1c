/** The search, filters and order of an app's licenses. All of them are in the URL, so that the list can be shared. */

import { useMemo } from "react";
import { asMoment } from "../format";
import type { LicenseFilter, LicenseOrder, LicenseOrderField, LicenseStatus } from "../graph/graphql";
import { useParameters } from "../lists/useParameters";
import { paths } from "../navigation";

/** Names of URL parameters. */
export type Parameter = "search" | "status" | "tier" | "trial" | "verified" | "order";

const FILTERS = ["status", "tier", "trial", "verified"] as const;
const FIELDS: readonly LicenseOrderField[] = ["CREATED_AT", "EXPIRES_AT", "LAST_VERIFIED_AT"];
const STATUSES: readonly LicenseStatus[] = ["ACTIVE", "EXPIRED", "REVOKED"];
const NEWEST_FIRST = "-created_at";

/** The number of days in which a license expires "soon". */
const SOON = 30;

export interface LicenseQuestion {
  values: Record<Parameter, string>;
  filter: LicenseFilter;
  orderBy: LicenseOrder;
  /** The number of filters, without the search. */
  filters: number;
  isFiltered: boolean;
  /** The URL of the list with this search, these filters and this order. */
  address: (slug: string) => string;
  set: (changes: Partial<Record<Parameter, string>>) => void;
  clear: () => void;
  clearFilters: () => void;
}

/** Returns the search, filters and order from the URL, and functions to change them. */
export function useLicenseQuestion(): LicenseQuestion {
  const [text, set] = useParameters<Parameter>();
  return useMemo(() => {
    const given = new URLSearchParams(text);
    const value = (name: Parameter) => given.get(name) ?? "";
    const values = {
      search: value("search"),
      status: value("status"),
      tier: value("tier"),
      trial: value("trial"),
      verified: value("verified"),
      order: value("order") || NEWEST_FIRST,
    };
    const filters = FILTERS.filter((name) => values[name] !== "").length;
    const none = { status: "", tier: "", trial: "", verified: "" };
    return {
      values,
      filter: filterOf(values),
      orderBy: orderOf(values.order),
      filters,
      isFiltered: filters > 0 || values.search.trim() !== "",
      address: (slug) => `${paths.licenses(slug)}?${text}`,
      set,
      clear: () => set({ search: "", ...none }),
      clearFilters: () => set(none),
    };
  }, [text, set]);
}

function filterOf({ search, status, tier, trial, verified }: Record<Parameter, string>): LicenseFilter {
  const known = STATUSES.find((each) => each === status.toUpperCase());
  return {
    ...(search.trim() && { search: search.trim() }),
    ...(known && { status: known }),
    ...(status === "expiring" && { status: "ACTIVE", expiresBefore: dayFromNow(SOON + 1) }),
    ...(tier && { tierSlug: tier }),
    ...((trial === "yes" || trial === "no") && { trial: trial === "yes" }),
    ...(verified === "week" && { verifiedAfter: dayFromNow(-7) }),
    ...(verified === "month" && { verifiedAfter: dayFromNow(-30) }),
    ...(verified === "never" && { verified: false }),
    ...(verified === "earlier" && { verifiedBefore: dayFromNow(-30) }),
  };
}

/** Returns the start of a day in local time, a number of days after today. Filters change only once a day, so that going
 *  back shows the same pages. */
function dayFromNow(days: number): string {
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  start.setDate(start.getDate() + days);
  return asMoment(start);
}

/** Parses an order: "expires_at" is EXPIRES_AT ascending, "-created_at" is newest first. An unknown name means
 *  CREATED_AT. */
function orderOf(order: string): LicenseOrder {
  const isDescending = order.startsWith("-");
  const name = order.replace(/^-/, "").toUpperCase();
  const field = FIELDS.find((each) => each === name) ?? "CREATED_AT";
  return { field, direction: isDescending ? "DESC" : "ASC" };
}
