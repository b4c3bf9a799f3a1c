/** The key that this browser session is signed in with. Both pages share it; it ends with the tab. */

const KEY = "licensegraph:key";

/** The key, or null when nobody is signed in. */
export function readKey(): string | null {
  return sessionStorage.getItem(KEY);
}

/** Keep a key until the browser session ends. Never in localStorage: that outlives whoever typed it. */
export function keepKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

/** Forget the key and everything else that was kept with it. */
export function forgetKey(): void {
  sessionStorage.clear();
}

/** What a request says of a key. A key is plain ASCII: whatever else was typed is encoded, for a header cannot hold it,
 *  and so refused. */
export function bearer(key: string): string {
  return `Bearer ${encodeURIComponent(key)}`;
}
