/** The search, filters and order of the customer list. All of them are in the URL, so that the list can be shared. */

import { useMemo } from "react";
import { asMoment } from "../format";
import type { CustomerFilter, CustomerOrder, CustomerOrderField } from "../graph/graphql";
import { useParameters } from "../lists/useParameters";
import { paths } from "../navigation";

/** Names of URL parameters. */
export type Parameter = "search" | "externalId" | "from" | "to" | "order";

const FILTERS: readonly Parameter[] = ["externalId", "from", "to"];
const FIELDS: readonly CustomerOrderField[] = ["CREATED_AT", "EMAIL", "NAME"];
const NEWEST_FIRST = "-created_at";

export interface CustomerQuestion {
  values: Record<Parameter, string>;
  filter: CustomerFilter;
  orderBy: CustomerOrder;
  isFiltered: boolean;
  /** What the list is filtered by, in words. It has no meaning unless `isFiltered`. */
  by: "search" | "filters" | "search and filters";
  /** The URL of the list with this search, these filters and this order. */
  address: (slug: string) => string;
  set: (changes: Partial<Record<Parameter, string>>) => void;
  clear: () => void;
}

/** Returns the search, filters and order from the URL, and functions to change them. */
export function useCustomerQuestion(): CustomerQuestion {
  const [text, set] = useParameters<Parameter>();
  return useMemo(() => {
    const given = new URLSearchParams(text);
    const value = (name: Parameter) => given.get(name) ?? "";
    const values = {
      search: value("search"),
      externalId: value("externalId"),
      from: value("from"),
      to: value("to"),
      order: value("order") || NEWEST_FIRST,
    };
    const isSearched = values.search.trim() !== "";
    const hasFilters = FILTERS.some((name) => values[name].trim() !== "");
    return {
      values,
      filter: filterOf(values),
      orderBy: orderOf(values.order),
      isFiltered: isSearched || hasFilters,
      by: !hasFilters ? "search" : isSearched ? "search and filters" : "filters",
      address: (slug) => `${paths.customers(slug)}?${text}`,
      set,
      clear: () => set({ search: "", externalId: "", from: "", to: "" }),
    };
  }, [text, set]);
}

function filterOf({ search, externalId, from, to }: Record<Parameter, string>): CustomerFilter {
  return {
    // Only the query gets the trimmed text. The search box keeps the text as it was typed.
    ...(search.trim() && { search: search.trim() }),
    ...(externalId && { externalId }),
    // The API's bounds are exclusive; the days in the form are inclusive.
    ...(startOf(from) && { createdAfter: moment(startOf(from), -1_000) }),
    ...(startOf(to) && { createdBefore: moment(startOf(to), 0, 1) }),
  };
}

/** Returns the start of a day in local time, or null if the text is not a date. */
function startOf(day: string): Date | null {
  if (!/^\d{4}-\d\d-\d\d$/.test(day)) return null;
  const start = new Date(`${day}T00:00:00`);
  return Number.isNaN(start.getTime()) ? null : start;
}

function moment(start: Date | null, milliseconds: number, days = 0): string {
  const shifted = new Date(start ?? 0);
  shifted.setDate(shifted.getDate() + days);
  return asMoment(new Date(shifted.getTime() + milliseconds));
}

/** Parses an order: "email" is EMAIL ascending, "-created_at" is newest first. An unknown name means CREATED_AT. */
function orderOf(order: string): CustomerOrder {
  const isDescending = order.startsWith("-");
  const name = order.replace(/^-/, "").toUpperCase();
  const field = FIELDS.find((each) => each === name) ?? "CREATED_AT";
  return { field, direction: isDescending ? "DESC" : "ASC" };
}
