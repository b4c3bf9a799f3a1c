/** The API key of this browser session. All pages share the key. It is forgotten when the last tab is closed.
 *
 * The key is in the session storage of each tab. A new tab requests the key from the other tabs, and every tab that
 * is signed in sends it. Only pages of the same origin and the same installation take part. */

const KEY = "licensegraph:key";

/** How long the first view waits for another tab's key, in milliseconds: too short to be noticed. A key that arrives later
 *  is still used. */
const PATIENCE = 100;

type Message =
  /** A new tab asks for the key. `from` names the tab. */
  | { is: "request"; from: string }
  | { is: "key"; to: string; key: string }
  /** Someone signed out: every tab with this key forgets it. */
  | { is: "end"; key: string };

/** How a page takes part in the shared session. */
interface Tab {
  /** Returns the key that a new tab may use, or null if this tab is not signed in. */
  keyToShare: () => string | null;
  /** Called when another tab has changed this tab's key. `readKey` returns the new key, or null after a sign-out. */
  onChange: () => void;
}

const channel = new BroadcastChannel(`licensegraph:session ${new URL(document.baseURI).pathname}`);
const members = new Set<Tab>();
const here = crypto.getRandomValues(new Uint32Array(4)).join("-");
let arrived = () => {};

channel.addEventListener("message", ({ data }: MessageEvent<Message>) => {
  if (data.is === "request") {
    for (const { keyToShare } of members) {
      const key = keyToShare();
      if (key !== null) send({ is: "key", to: data.from, key });
    }
  } else if (data.is === "key" && data.to === here && readKey() === null) {
    keepKey(data.key);
    arrived();
    for (const { onChange } of members) onChange();
  } else if (data.is === "end" && data.key === readKey()) {
    forgetKey();
    for (const { onChange } of members) onChange();
  }
});

function send(message: Message): void {
  channel.postMessage(message);
}

/** Returns the key, or null if nobody is signed in. */
export function readKey(): string | null {
  return sessionStorage.getItem(KEY);
}

/** Keeps a key until the tab is closed. Never in localStorage, where the next user of the browser would find it. */
export function keepKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

/** Forgets the key and everything that is stored with it, in this tab. */
export function forgetKey(): void {
  sessionStorage.clear();
}

/** Signs out: forgets the key in this tab and in all other tabs with the same key. */
export function endSession(): void {
  const key = readKey();
  forgetKey();
  if (key !== null) send({ is: "end", key });
}

/** Shares the session with the other tabs. Returns a function that stops the sharing. */
export function joinSession(tab: Tab): () => void {
  members.add(tab);
  return () => members.delete(tab);
}

/** Requests the key from the other tabs, unless this tab has a key. Resolves when the key arrives, or after `PATIENCE`
 *  milliseconds. */
export function takeOverSession(): Promise<void> {
  if (readKey() !== null) return Promise.resolve();
  return new Promise((resolve) => {
    arrived = resolve;
    setTimeout(resolve, PATIENCE);
    send({ is: "request", from: here });
  });
}

/** Returns the Authorization header for a key. Non-ASCII characters are encoded, because a header cannot contain
 *  them. No real key has such characters, so the server then rejects the key. */
export function bearer(key: string): string {
  return `Bearer ${encodeURIComponent(key)}`;
}
