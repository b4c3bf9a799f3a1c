/** The theme, light or dark: the system's theme, unless the user has chosen one. All pages share the choice. */

export type Theme = "system" | "light" | "dark";

const KEY = "licensegraph:theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const choices = new EventTarget();

/** Returns the chosen theme, or "system" if none was chosen. */
export function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Returns the theme that is shown: the chosen theme, or the system's theme. */
export function shownTheme(): "light" | "dark" {
  const theme = readTheme();
  if (theme !== "system") return theme;
  return systemIsDark.matches ? "dark" : "light";
}

/** Applies a theme, and keeps it for the next visit. */
export function chooseTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  applyTheme();
  choices.dispatchEvent(new Event("change"));
}

/** Applies the chosen theme. Call this before anything is rendered. */
export function applyTheme(): void {
  const theme = readTheme();
  document.documentElement.style.colorScheme = theme === "system" ? "light dark" : theme;
}

/** Calls a listener when the theme changes, in this tab, another tab or the system. Returns a function to unsubscribe. */
export function onThemeChange(listener: () => void): () => void {
  const inAnotherTab = ({ key }: StorageEvent) => {
    if (key !== KEY && key !== null) return;
    applyTheme();
    listener();
  };
  choices.addEventListener("change", listener);
  systemIsDark.addEventListener("change", listener);
  window.addEventListener("storage", inAnotherTab);
  return () => {
    choices.removeEventListener("change", listener);
    systemIsDark.removeEventListener("change", listener);
    window.removeEventListener("storage", inAnotherTab);
  };
}
