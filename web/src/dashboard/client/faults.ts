/** The server's userErrors as sentences: their messages continue the name of what they are about. */

import type { FaultFragment } from "../graph/graphql";

/** What a fault is about, by the first part of its field. */
export type Subjects = Readonly<Record<string, string>>;

/** A fault as a sentence. `subjects` names fields as people see them. */
export function sentenceOf({ field, message }: FaultFragment, subjects: Subjects): string {
  const [name = "", ...within] = field ?? [];
  const subject = [subjects[name] ?? name, ...within].filter(Boolean).join(" › ");
  const sentence = `${subject} ${message}`.trim();
  return `${sentence.charAt(0).toLocaleUpperCase()}${sentence.slice(1)}.`;
}

/** All faults of an input, one sentence each; null when there are none. */
export function sentencesOf(faults: readonly FaultFragment[], subjects: Subjects): string | null {
  return faults.map((fault) => sentenceOf(fault, subjects)).join(" ") || null;
}
