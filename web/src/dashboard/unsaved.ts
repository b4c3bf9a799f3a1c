/** Forms with unsaved changes, and the question that the user is asked before the changes are lost. */

import { useSyncExternalStore } from "react";

const forms = new Set<Element>();
const listeners = new Set<() => void>();
let waiting: (() => void) | null = null;

/** Marks a form as having unsaved changes. Returns a function that removes the mark. */
export function markUnsaved(form: Element): () => void {
  forms.add(form);
  window.addEventListener("beforeunload", ask);
  return () => forget(form);
}

/** Returns true if a form within this node has changes that are not saved. */
export function hasUnsaved(within: Node = document): boolean {
  return [...forms].some((form) => within.contains(form));
}

/** Runs an action that discards all unsaved changes. If there are any, the user must agree first. */
export function leave(action: () => void): void {
  if (hasUnsaved()) wait(action);
  else action();
}

/** Returns the action that waits for the user to agree, or null. */
export function useWaiting(): (() => void) | null {
  return useSyncExternalStore(subscribe, () => waiting);
}

/** If the user agrees, discards all unsaved changes and runs the waiting action. Otherwise, cancels the action. */
export function answerLeave(agrees: boolean): void {
  const action = waiting;
  wait(null);
  if (!agrees) return;
  forms.forEach(forget);
  action?.();
}

/** Removes the mark of a form. When no form is marked, the `beforeunload` listener is removed too, because such a
 *  listener can keep a page out of the browser's back-forward cache. */
function forget(form: Element): void {
  forms.delete(form);
  if (forms.size === 0) window.removeEventListener("beforeunload", ask);
}

// If there are unsaved changes, asks the user before a click on a link leaves the view.
document.addEventListener(
  "click",
  (event) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>("a[href]");
    const isPlain =
      event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || link.target || link.pathname === location.pathname || !hasUnsaved()) return;
    event.preventDefault();
    event.stopPropagation();
    leave(() => link.click());
  },
  { capture: true },
);

function wait(action: (() => void) | null): void {
  waiting = action;
  for (const listener of listeners) listener();
}

function ask(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
