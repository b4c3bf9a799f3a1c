import { type RefObject, useEffect, useRef } from "react";

/** Calls `close` when the user clicks or focuses something outside of an open element. */
export function useCloseOutside(
  element: RefObject<HTMLElement | null>,
  isOpen: boolean,
  close: () => void,
): void {
  const latest = useRef(close);
  latest.current = close;
  useEffect(() => {
    if (!isOpen) return;
    const closeOutside = (event: Event) => {
      if (!element.current?.contains(event.target as Node)) latest.current();
    };
    document.addEventListener("pointerdown", closeOutside);
    document.addEventListener("focusin", closeOutside);
    return () => {
      document.removeEventListener("pointerdown", closeOutside);
      document.removeEventListener("focusin", closeOutside);
    };
  }, [element, isOpen]);
}
