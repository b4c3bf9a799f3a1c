/** The curve of active licenses: its points, and the intervals that they are from. */

import type { IntervalFragment } from "../graph/graphql";

export interface Interval extends IntervalFragment {
  /** The first day after the interval. */
  until: string;
  /** True if the interval is not over. `active` is then the number if nobody renews. */
  isFuture: boolean;
  /** True if the interval begins before the server recorded events. */
  isReconstructed: boolean;
}

export interface Point {
  /** Milliseconds since 1970. */
  at: number;
  active: number;
  /** The last day that the number stands for, or null for now. */
  day: string | null;
}

export interface Curve {
  intervals: readonly Interval[];
  past: readonly Point[];
  now: Point;
  future: readonly Point[];
  /** The time from which the curve is recorded, if it begins earlier. */
  since: number | null;
}

const DAY_MS = 86_400_000;

/** Returns the curve of these statistics, whose last interval only says where the one before it ends. `active` is the
 *  number of active licenses now. */
export function curveOf(
  statistics: readonly IntervalFragment[],
  active: number,
  historySince: string,
  now: number,
): Curve {
  const intervals = statistics.slice(0, -1).map((each, index) => {
    const until = statistics[index + 1]?.from ?? each.from;
    return {
      ...each,
      until,
      isFuture: Date.parse(until) > now,
      isReconstructed: Date.parse(each.from) < Date.parse(historySince),
    };
  });
  const pointOf = ({ until, active }: Interval): Point => ({
    at: Date.parse(until),
    active,
    day: lastDayBefore(until),
  });
  const since = Date.parse(historySince);
  const first = intervals[0];
  const isPartly = intervals.some((each) => each.isReconstructed && !isEmpty(each));
  return {
    intervals,
    past: intervals.filter((each) => !each.isFuture).map(pointOf),
    now: { at: now, active, day: null },
    future: intervals.filter((each) => each.isFuture).map(pointOf),
    since: isPartly && first && Date.parse(first.until) < since ? since : null,
  };
}

/** Returns the statistics from the first interval in which anything happened, and one before it: the curve begins at
 *  zero. */
export function withoutEmptyStart(statistics: readonly IntervalFragment[]): readonly IntervalFragment[] {
  const first = statistics.findIndex((each) => !isEmpty(each));
  return first === -1 ? statistics : statistics.slice(Math.max(first - 1, 0));
}

/** Returns true if nothing happened in an interval and no license was active at its end. */
export function isEmpty({ active, issued, expired, revoked, deleted }: IntervalFragment): boolean {
  return active + issued + expired + revoked + deleted === 0;
}

export function lastDayBefore(day: string): string {
  return new Date(Date.parse(day) - DAY_MS).toISOString().slice(0, 10);
}
