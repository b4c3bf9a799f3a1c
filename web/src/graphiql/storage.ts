const PREFIX = "graphiql:";
const TABS = `${PREFIX}tabState`;
// Headers may contain a key. The query and the variables are already stored with the tabs. If a second copy differed,
// GraphiQL would open a new tab.
const NEVER_KEPT = new Set(["headers", "query", "variables"].map((name) => PREFIX + name));

type Tab = { query: string | null; variables: string | null };

/**
 * GraphiQL's storage for tabs, history and panels: the browser's local storage, but without headers.
 * The history would store headers even if `shouldPersistHeaders` is false.
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

/** Returns the tab that was last open, or undefined on the first visit. */
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
