/** Numbers, dates and names as people read them. */

const NUMBER = new Intl.NumberFormat();
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** A unit is used from this many seconds on: "in 400 days" says less than "in 13 months", and "in 1 year" less yet. */
const STEPS: readonly [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["year", 365 * 86_400, 700 * 86_400],
  ["month", 30.44 * 86_400, 60 * 86_400],
  ["day", 86_400, 86_400],
  ["hour", 3_600, 3_600],
  ["minute", 60, 60],
];

export const number = (value: number): string => NUMBER.format(value);

/** "1 license", "2 licenses". */
export const counted = (value: number, one: string, many: string = `${one}s`): string =>
  `${number(value)} ${value === 1 ? one : many}`;

export const date = (moment: string): string => DATE.format(new Date(moment));

export const dateAndTime = (moment: string): string => MOMENT.format(new Date(moment));

/** "in 3 months", "yesterday", "now". */
export function fromNow(moment: string): string {
  const seconds = (new Date(moment).getTime() - Date.now()) / 1000;
  for (const [unit, size, from] of STEPS) {
    if (Math.abs(seconds) >= from * 0.99) return RELATIVE.format(Math.round(seconds / size), unit);
  }
  return RELATIVE.format(0, "second");
}

/** What the graph takes for a moment. */
export const asMoment = (value: Date): string => value.toISOString().replace(/\.\d+Z$/, "Z");

/** One or two letters that stand for somebody. */
export function initials(name: string | null, email: string): string {
  const words = (name ?? "").split(/\s+/).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const letters = words.length > 0 ? [words[0], words.length > 1 ? words[words.length - 1] : ""] : [email];
  return letters
    .map((word) => [...(word ?? "")][0] ?? "")
    .join("")
    .toLocaleUpperCase();
}
