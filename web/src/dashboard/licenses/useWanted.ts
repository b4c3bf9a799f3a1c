import { useLocationProperty } from "wouter/use-browser-location";

/** Returns the id of the license that the URL points to (`#lic_…`), or null. */
export function useWanted(): string | null {
  return useLocationProperty(() => location.hash.slice(1) || null);
}
