const PREFIX = "graphiql:";
const TABS = `${PREFIX}tabState`;
// Headers may hold a key. The other two stand in the tabs as well, and GraphiQL would make a new tab where they differ.
const NEVER_KEPT = new Set(["headers", "query", "variables"].map((name) => PREFIX + name));

type Tab = { query: string | null; variables: string | null };

/**
 * Where GraphiQL keeps its tabs, its history and its panels: the browser's local storage, but without headers.
 * The history would keep those whatever `shouldPersistHeaders` says.
 */
export const storage = {
  get length(): number {
    return ownNames().length;
  },
  getItem(name: string): string | null {
    return localStorage.getItem(name);
  },
  setItem(name: string, value: string): void {
    if (!NEVER_KEPT.has(name)) localStorage.setItem(name, withoutHeaders(value));
  },
  removeItem(name: string): void {
    localStorage.removeItem(name);
  },
  clear(): void {
    for (const name of ownNames()) localStorage.removeItem(name);
  },
};

/** The tab that was open when the page was left; undefined on the first visit. */
export function lastTab(): Tab | undefined {
  try {
    const { tabs, activeTabIndex } = JSON.parse(storage.getItem(TABS) ?? "{}");
    return tabs?.[activeTabIndex];
  } catch {
    return undefined;
  }
}

function ownNames(): string[] {
  return Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
}

function withoutHeaders(value: string): string {
  if (!value.includes('"headers"')) return value;
  return JSON.stringify(JSON.parse(value, (name, inner) => (name === "headers" ? null : inner)));
}
