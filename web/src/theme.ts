/** Light or dark: what the system says, unless the person chose. Both pages share the choice. */

export type Theme = "system" | "light" | "dark";

const KEY = "licensegraph:theme";

/** What was chosen; "system" when nothing was. */
export function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Show a theme from now on, and on the next visit. */
export function chooseTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  applyTheme();
}

/** Show what was chosen. To be called before anything is drawn. */
export function applyTheme(): void {
  const theme = readTheme();
  document.documentElement.style.colorScheme = theme === "system" ? "light dark" : theme;
}
