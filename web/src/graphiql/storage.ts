const PREFIX = "graphiql:";

/**
 * Where GraphiQL keeps its tabs, its history and its panels: the browser's local storage, but without headers.
 * Those may hold a key, and the history would keep them whatever `shouldPersistHeaders` says.
 */
export const storage = {
  get length(): number {
    return ownNames().length;
  },
  getItem(name: string): string | null {
    return localStorage.getItem(name);
  },
  setItem(name: string, value: string): void {
    if (name !== `${PREFIX}headers`) localStorage.setItem(name, withoutHeaders(value));
  },
  removeItem(name: string): void {
    localStorage.removeItem(name);
  },
  clear(): void {
    for (const name of ownNames()) localStorage.removeItem(name);
  },
};

/** Whether GraphiQL has tabs from an earlier visit. */
export function hasTabs(): boolean {
  return storage.getItem(`${PREFIX}tabState`) !== null;
}

function ownNames(): string[] {
  return Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
}

function withoutHeaders(value: string): string {
  if (!value.includes('"headers"')) return value;
  try {
    return JSON.stringify(JSON.parse(value, (name, inner) => (name === "headers" ? null : inner)));
  } catch {
    return value; // A document that happens to have the word in it.
  }
}
