import { useEffect } from "react";

/** Sets the page title in the browser's tab and history. Without a title, the previous one stays. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    if (title) document.title = `${title} · Licensegraph`;
  }, [title]);
}
