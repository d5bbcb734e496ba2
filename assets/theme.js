// Runs before the first paint: the page must never flash in the wrong theme.
(() => {
    const KEY = "mantine-color-scheme-value"; // Mantine reads and writes the same key
    const stored = localStorage.getItem(KEY);
    const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
