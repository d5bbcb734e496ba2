// Runs before everything else: the page must never flash in the wrong theme, and Dash may have news
// for live regions before the module that draws them (js/main.js) has arrived.
(() => {
    const KEY = "mantine-color-scheme-value"; // Mantine reads and writes the same key
    const stored = localStorage.getItem(KEY);
    const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();

window.Meshscope = {
    early: [],
    live(...news) {
        this.early.push(news);
        return window.dash_clientside.no_update;
    },
};
