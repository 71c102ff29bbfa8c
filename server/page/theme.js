// Light, dark, or what the system says. Loaded before the page is painted.

const STORED = "mempack.theme";
const THEMES = ["automatic", "light", "dark"];

function stored() {
  try {
    const theme = localStorage.getItem(STORED);
    return THEMES.includes(theme) ? theme : "automatic";
  } catch {
    return "automatic";
  }
}

function apply(theme) {
  document.documentElement.dataset.theme = theme;
}

apply(stored());

/** Makes a button step through the themes. */
export function themeButton(button) {
  const label = button.querySelector(".label");
  const show = (theme) => {
    apply(theme);
    label.textContent = `Theme: ${theme}`;
  };
  show(stored());
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(STORED, next);
    } catch {
      // Where nothing can be stored, the theme lasts as long as the page.
    }
    show(next);
  });
}
