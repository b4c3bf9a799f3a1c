/** The paths of all views, and how the user reached the current view: by a link, or by going back or forward. */

import { hasUnsaved, leave } from "./unsaved";

let action: "push" | "pop" = "pop";

/** The index of the current view in the history of this tab, and the path of the view. The state of each history
 *  entry contains the entry's index. */
let place = placeOf(history.state) ?? 0;
let path = location.pathname;
/** The index that the user wanted to go to. It is set while the browser returns to this view, which has unsaved
 *  changes. */
let wanted: number | null = null;

// Runs before wouter's own listener, which would show the view of the new URL.
window.addEventListener("popstate", (event) => {
  const to = placeOf(event.state) ?? 0;
  if (wanted !== null) {
    const steps = wanted - place;
    wanted = null;
    event.stopImmediatePropagation();
    leave(() => history.go(steps));
  } else if (location.pathname !== path && hasUnsaved()) {
    wanted = to;
    event.stopImmediatePropagation();
    history.go(place - to);
  } else {
    place = to;
    path = location.pathname;
    action = "pop";
  }
});
// wouter dispatches events with these names when it navigates.
window.addEventListener("pushState", () => {
  action = "push";
  place += 1;
  keepPlace();
});
window.addEventListener("replaceState", keepPlace);
keepPlace();

function keepPlace(): void {
  path = location.pathname;
  if (placeOf(history.state) !== place) history.replaceState({ ...history.state, place }, "");
}

function placeOf(state: unknown): number | undefined {
  return (state as { place?: number } | null)?.place;
}

// Lists restore their own scroll position, because the browser would restore it before the rows are loaded.
history.scrollRestoration = "manual";

/** The path at which the dashboard is served, without a trailing slash. */
export const BASE_PATH = new URL(document.baseURI).pathname.replace(/\/$/, "");

/** Returns true if the user went back or forward to this view, or if it is the first view. */
export function cameBack(): boolean {
  return action === "pop";
}

/** Returns true if the view at this path is shown. Used by code that may still run after its view is gone. */
export function isAt(path: string): boolean {
  return location.pathname === BASE_PATH + path;
}

export const paths = {
  apps: () => "/",
  app: (slug: string) => `/apps/${encodeURIComponent(slug)}`,
  customers: (slug: string) => `/apps/${encodeURIComponent(slug)}/customers`,
  customer: (slug: string, id: string) =>
    `/apps/${encodeURIComponent(slug)}/customers/${encodeURIComponent(id)}`,
  customerActivity: (slug: string, id: string) =>
    `/apps/${encodeURIComponent(slug)}/customers/${encodeURIComponent(id)}/activity`,
  licenses: (slug: string) => `/apps/${encodeURIComponent(slug)}/licenses`,
  keys: () => "/keys",
  key: (id: string) => `/keys/${encodeURIComponent(id)}`,
  appActivity: (slug: string) => `/apps/${encodeURIComponent(slug)}/activity`,
  settings: (slug: string) => `/apps/${encodeURIComponent(slug)}/settings`,
} as const;
