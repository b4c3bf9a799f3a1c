/** Turns the server's userErrors into sentences. Each message follows the name of its field: "Email" + "can't be
 *  blank". */

import type { FaultFragment } from "../graph/graphql";

/** The subject of a sentence, by the first part of the path in the error's `field`. */
export type Subjects = Readonly<Record<string, string>>;

/** Returns an error as a sentence. `subjects` has the visible names of fields. A field that is not in it keeps its own
 *  name. */
export function sentenceOf({ field, message }: FaultFragment, subjects: Subjects): string {
  const [name = "", ...within] = field ?? [];
  const subject = [subjects[name] ?? name, ...within].filter(Boolean).join(" › ");
  const sentence = `${subject} ${message}`.trim();
  return `${sentence.charAt(0).toLocaleUpperCase()}${sentence.slice(1)}.`;
}

/** Returns all errors of an input, one sentence each, or null if there are none. */
export function sentencesOf(faults: readonly FaultFragment[], subjects: Subjects): string | null {
  return faults.map((fault) => sentenceOf(fault, subjects)).join(" ") || null;
}
