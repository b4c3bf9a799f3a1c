/** Light or dark: what the system says, unless the person chose. Both pages share the choice. */

export type Theme = "system" | "light" | "dark";

const KEY = "licensegraph:theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const choices = new EventTarget();

/** What was chosen; "system" when nothing was. */
export function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** What is shown, whether it was chosen or the system says so. */
export function shownTheme(): "light" | "dark" {
  const theme = readTheme();
  if (theme !== "system") return theme;
  return systemIsDark.matches ? "dark" : "light";
}

/** Show a theme from now on, and on the next visit. */
export function chooseTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  applyTheme();
  choices.dispatchEvent(new Event("change"));
}

/** Show what was chosen. To be called before anything is drawn. */
export function applyTheme(): void {
  const theme = readTheme();
  document.documentElement.style.colorScheme = theme === "system" ? "light dark" : theme;
}

/** Call a listener when the theme changes: here, in another tab or in the system. The answer ends it. */
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
