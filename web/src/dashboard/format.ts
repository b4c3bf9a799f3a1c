/** Formats numbers, dates and names for display. */

const NUMBER = new Intl.NumberFormat();
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** Each unit, its length in seconds, and the shortest time in seconds that is shown in this unit. "In 13 months" is
 *  clearer than "in 400 days" or "in 1 year". */
const STEPS: readonly [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["year", 365 * 86_400, 700 * 86_400],
  ["month", 30.44 * 86_400, 60 * 86_400],
  ["day", 86_400, 86_400],
  ["hour", 3_600, 3_600],
  ["minute", 60, 60],
];

export const number = (value: number): string => NUMBER.format(value);

/** Formats a number with its noun: "1 license", "2 licenses". */
export const counted = (value: number, one: string, many: string = `${one}s`): string =>
  `${number(value)} ${value === 1 ? one : many}`;

export const date = (moment: string): string => DATE.format(new Date(moment));

/** Formats a day that is given in UTC, such as 2026-01-23. */
export const day = (day: string): string => DAY.format(new Date(day));

/** Formats the month of a day that is given in UTC: "Jan 2026". */
export const month = (day: string): string => MONTH.format(new Date(day));

/** Formats the days from one to another, both in UTC, as short as possible: "Jan 5 – 11, 2026". */
export const period = (first: string, last: string): string =>
  DAY.formatRange(new Date(first), new Date(last));

export const dateAndTime = (moment: string): string => MOMENT.format(new Date(moment));

/** Formats a time relative to now: "in 3 months", "yesterday", "now". */
export function fromNow(moment: string): string {
  const seconds = (new Date(moment).getTime() - Date.now()) / 1000;
  for (const [unit, size, from] of STEPS) {
    if (Math.abs(seconds) >= from * 0.99) return RELATIVE.format(Math.round(seconds / size), unit);
  }
  return RELATIVE.format(0, "second");
}

/** Formats a date and time as the API expects it. */
export const asMoment = (value: Date): string => value.toISOString().replace(/\.\d+Z$/, "Z");

/** The latest year that the API accepts. */
const LAST_YEAR = 9999;

/** Returns the last second of a day in local time, in the format of the API. The dashboard then shows this day as the
 *  date. Returns null if the text is not a date, or if the API does not accept its year. */
export function endOfDay(day: string): string | null {
  const end = new Date(`${day}T00:00:00`);
  if (!(end.getFullYear() <= LAST_YEAR)) return null;
  end.setHours(23, 59, 59);
  return asMoment(end);
}

/** Returns the local day of a time, in the format of the values of date fields: 2026-01-23. */
export function dayOf(moment: string): string {
  const at = new Date(moment);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()]
    .map((part) => String(part).padStart(2, "0"))
    .join("-");
}

/** Returns a person's initials, one or two letters. */
export function initials(name: string | null, email: string): string {
  const words = (name ?? "").split(/\s+/).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const letters = words.length > 0 ? [words[0], words.length > 1 ? words[words.length - 1] : ""] : [email];
  return letters
    .map((word) => [...(word ?? "")][0] ?? "")
    .join("")
    .toLocaleUpperCase();
}
