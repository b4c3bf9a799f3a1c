/** The time that the curve shows, and the tier whose licenses it counts. Both are in the URL. */

import { useSearchParams } from "wouter";
import type { StatisticsInterval } from "../graph/graphql";

interface Range {
  label: string;
  every: StatisticsInterval;
  /** Returns the first day that is asked for. */
  from: (today: Date) => Date;
  /** Returns a day in the interval after the last one that is shown: the last one ends where it begins. */
  to: (today: Date) => Date;
}

const days = (today: Date, count: number) => shifted(today, 0, count);
const months = (today: Date, count: number) => shifted(today, count, 0);

/** The ranges, by their names in the URL. None has more intervals than the API accepts (400). */
export const RANGES = {
  "30d": {
    label: "30 days",
    every: "DAY",
    from: (today) => days(today, -30),
    to: (today) => days(today, 30),
  },
  "12m": {
    label: "12 months",
    every: "WEEK",
    from: (today) => months(today, -12),
    to: (today) => months(today, 3),
  },
  all: {
    label: "All",
    every: "MONTH",
    from: (today) => months(today, -240),
    to: (today) => months(today, 12),
  },
} as const satisfies Record<string, Range>;

export type RangeName = keyof typeof RANGES;

const NAMES = Object.keys(RANGES) as RangeName[];
const USUAL: RangeName = "12m";

/** Returns the range and the tier in the URL, and a function to change them. */
export function useRange() {
  const [parameters, setParameters] = useSearchParams();
  const set = (name: "range" | "tier", value: string) =>
    setParameters(
      (before) => {
        const after = new URLSearchParams(before);
        if (value && !(name === "range" && value === USUAL)) after.set(name, value);
        else after.delete(name);
        return after;
      },
      { replace: true, state: history.state },
    );
  return {
    range: NAMES.find((name) => name === parameters.get("range")) ?? USUAL,
    tier: parameters.get("tier") || null,
    set,
  };
}

/** Returns what the overview asks for on a day, besides the app. */
export function questionOf(range: RangeName, tier: string | null, today: Date) {
  const { every, from, to } = RANGES[range];
  return {
    every,
    from: dayOf(from(today)),
    to: dayOf(to(today)),
    tierSlug: tier,
    lastMonth: dayOf(new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - 1, 1))),
    today: dayOf(today),
  };
}

/** Returns the day of a time in UTC, in the format of the API. */
export const dayOf = (time: Date): string => time.toISOString().slice(0, 10);

function shifted(today: Date, byMonths: number, byDays: number): Date {
  const [year, month, date] = [today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate()];
  // Every month has its first day, so a shift by months never skips one.
  return new Date(Date.UTC(year, month + byMonths, byMonths ? 1 : date + byDays));
}
