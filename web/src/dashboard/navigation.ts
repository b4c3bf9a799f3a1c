/** How the view came to be shown: by following a link, or by going back or forward to it. */

let action: "push" | "pop" = "pop";

window.addEventListener("popstate", () => {
  action = "pop";
});
// wouter tells of its own navigations by events of these names.
window.addEventListener("pushState", () => {
  action = "push";
});

// Lists put themselves back where they were; the browser would do it before they have their rows.
history.scrollRestoration = "manual";

/** The path that the dashboard is offered under, without a slash at the end. */
export const BASE_PATH = new URL(document.baseURI).pathname.replace(/\/$/, "");

/** Whether the view was come back to, or is the first. */
export function cameBack(): boolean {
  return action === "pop";
}

/** Whether the view at this path is shown, to be asked by what outlives views. */
export function isAt(path: string): boolean {
  return location.pathname === BASE_PATH + path;
}

export const paths = {
  apps: () => "/",
  customers: (slug: string) => `/apps/${encodeURIComponent(slug)}/customers`,
  customer: (slug: string, id: string) =>
    `/apps/${encodeURIComponent(slug)}/customers/${encodeURIComponent(id)}`,
  settings: (slug: string) => `/apps/${encodeURIComponent(slug)}/settings`,
} as const;
