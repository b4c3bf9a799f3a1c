import { useEffect } from "react";

/** Name the page in the browser's tab and history. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    if (title) document.title = `${title} · Licensegraph`;
  }, [title]);
}
