// Light, dark, or as the system says; kept for the next visit.

import { useState } from "react";

export type Theme = "system" | "light" | "dark";
const STORED = "laterna.theme";

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function storedTheme(): Theme {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "system";
}

apply(storedTheme());

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, set] = useState(storedTheme);
  return [
    theme,
    (chosen) => {
      localStorage.setItem(STORED, chosen);
      apply(chosen);
      set(chosen);
    },
  ];
}
