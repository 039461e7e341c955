// Dark or light: as the system has it, until somebody chooses.

import { byId } from "./dom.js";

const PLACE = "unprompt-theme";

function chosen() {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null;
  }
}

function keep(theme) {
  try {
    localStorage.setItem(PLACE, theme);
  } catch {
    // A browser that keeps nothing asks its system again next time.
  }
}

/** Starts the button that changes the theme. */
export function startTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let override = chosen();
  const isDark = () => (override ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    if (override) document.documentElement.dataset.theme = override;
    button.setAttribute("aria-pressed", String(isDark()));
  };
  show();
  system.addEventListener("change", show);
  button.addEventListener("click", () => {
    override = isDark() ? "light" : "dark";
    keep(override);
    show();
  });
}
