// Runs before everything else: the page must never flash in the wrong theme, Dash may have news
// for live regions before the module that draws them (js/main.js) has arrived, and it listens to the history.
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

// For another address Dash draws the whole page anew, unless the page itself can show what the address says. Heard
// before Dash hears it: listeners of a window are called in the order in which they came.
for (const news of ["popstate", "_dashprivate_pushstate"]) {
    addEventListener(news, (event) => {
        if (window.Meshscope.page?.revisit()) event.stopImmediatePropagation();
    });
}
