// What every page has: the theme, the connection's state, and the pulse that tells panels to look again.

import * as format from "./format.js";

const PULSE_MS = 2000;

export function toggleTheme() {
    const root = document.documentElement;
    const next = root.getAttribute("data-mantine-color-scheme") === "dark" ? "light" : "dark";
    root.setAttribute("data-mantine-color-scheme", next);
    localStorage.setItem("mantine-color-scheme-value", next);
}

/** Tells Dash about new revisions, at most every two seconds and never while the tab is hidden. */
export class Pulse {
    constructor(setProps) {
        this.setProps = setProps;
        this.last = 0;
    }

    beat(graph) {
        if (document.hidden) return;
        const now = Date.now();
        if (now - this.last < PULSE_MS) return;
        this.last = now;
        // Each page names the store that wakes its callbacks; only what is on the screen is woken.
        for (const element of document.querySelectorAll("[data-pulse]")) {
            this.setProps(element.dataset.pulse, { data: { revision: graph.revision, at: graph.at } });
        }
    }
}

/** Says how old what is shown is; `chosen` is what a person chose on the graph's page, if that is shown. */
export function showConnection(isOpen, graph, chosen) {
    const dot = document.getElementById("live-dot");
    const text = document.getElementById("live-text");
    if (!dot || !text) return;
    const earlier = chosen?.from ? "Comparing" : chosen?.at ? "Past" : "";
    const look = `pulse ${isOpen ? (earlier ? "" : "live") : "late"}`;
    if (dot.className !== look) dot.className = look;
    const sentence = isOpen ? earlier || "Live" : graph ? `Last news ${format.clock(graph.at)}` : "Connecting …";
    if (text.textContent !== sentence) text.textContent = sentence;
}

/** Follows links within the console without loading the page anew; Dash's router listens. */
export function follow(event) {
    const link = event.target.closest("a[href^='/']");
    const special = event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!link || special || link.target || link.hasAttribute("download") || event.defaultPrevented) return;
    event.preventDefault();
    history.pushState({}, "", link.getAttribute("href"));
    dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    const main = document.getElementById("main");
    main.scrollTop = 0;
    main.focus({ preventScroll: true }); // the keyboard goes on from the new page
}

/** Marks where we are in the navigation and in the window's title. */
export function showPlace() {
    const path = location.pathname === "/" ? "/graph" : location.pathname;
    for (const link of document.querySelectorAll(".nav-link")) {
        const here = path === link.pathname || path.startsWith(`${link.pathname}/`);
        if (here === (link.getAttribute("aria-current") === "page")) continue;
        if (here) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
    }
    const title = document.querySelector("main h1")?.textContent;
    const full = title ? `${title} · Meshscope` : "Meshscope";
    if (document.title !== full) document.title = full;
}
