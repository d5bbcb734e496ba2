// The page's script: one live stream for all pages, and the graph page wherever it is shown.

import { ChartTip } from "./chart.js";
import { GraphPage } from "./graph-page.js";
import { show } from "./live.js";
import { Logs } from "./logs.js";
import { Pulse, follow as followLink, showConnection, showPlace, toggleTheme } from "./shell.js";
import { Stream } from "./stream.js";
import { Tap } from "./tap.js";
import * as url from "./url.js";
import { Wizard } from "./wizard.js";

const setProps = (id, props) => window.dash_clientside?.set_props?.(id, props);
const pulse = new Pulse(setProps);
let page = null;
let isConnected = false;

const stream = new Stream({
    changed(graph) {
        page?.received(graph);
        pulse.beat(graph);
    },
    connection(state) {
        const isBack = !isConnected && state === "open";
        isConnected = state === "open";
        page?.connection(state);
        tellConnection();
        if (isBack && isAwaited()) setProps("url", { pathname: location.pathname });
    },
});

/** Whether a page was asked for that the server has not given yet. */
function isAwaited() {
    const path = document.getElementById("main")?.dataset.path;
    return path !== undefined && path !== location.pathname;
}

function tellConnection() {
    showConnection(isConnected, stream.graph, page?.state);
    document.getElementById("main")?.toggleAttribute("data-awaited", !isConnected && isAwaited());
}

/** Buttons of repeated rows: what they carry goes into a store, whose callback does it. */
const WISHES = { fault: "alerts-fault", replay: "alerts-replay" };

/** Lists that fill while one looks, by what they are of. */
const FEEDS = { logs: Logs, tap: Tap };
const feeds = new Map();

function followFeeds() {
    for (const [root, feed] of feeds) {
        if (root.isConnected) continue;
        feed.destroy();
        feeds.delete(root);
    }
    for (const root of document.querySelectorAll("[data-feed]")) {
        if (!feeds.has(root)) feeds.set(root, new FEEDS[root.dataset.feed](root));
    }
}

/** Dash adds and removes pages; this follows. */
function follow() {
    showPlace();
    followFeeds();
    const root = document.getElementById("graph-page");
    if (page && (page.root !== root || page.render !== root.dataset.render)) {
        page.destroy();
        page = null;
    }
    if (root && !page) {
        page = new GraphPage(root, stream, setProps);
        page.render = root.dataset.render;
        window.Meshscope.page = page;
        page.start();
    } else if (!root && !stream.topic && document.querySelector("#main > *")) {
        stream.open("versionedApp", 60);
    }
    tellConnection();
}

let scheduled = false;
new MutationObserver(() => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
        scheduled = false;
        follow();
    });
}).observe(document.body, { childList: true, subtree: true, attributeFilter: ["data-render"] });

new MutationObserver(() => page?.view?.setTheme()).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-mantine-color-scheme"],
});

document.addEventListener("click", (event) => {
    followLink(event);
    if (event.target.closest("#theme-toggle")) toggleTheme();
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    const closer = event.target.closest("[data-close]");
    if (closer) document.getElementById(closer.dataset.close).close();
    if (event.target.matches("dialog")) event.target.close(); // the backdrop
    for (const [attribute, store] of Object.entries(WISHES)) {
        const wish = event.target.closest(`[data-${attribute}]`);
        if (wish) setProps(store, { data: { value: wish.dataset[attribute], at: Date.now() } });
    }
    const sorted = event.target.closest("[data-sort]");
    if (sorted) setProps(sorted.dataset.store, { data: sorted.dataset.sort });
    const copied = event.target.closest("[data-copy]");
    if (copied) copy(copied);
});
addEventListener("_dashprivate_pushstate", showPlace); // at once, however long the page takes to come
addEventListener("visibilitychange", () => {
    if (!document.hidden && stream.graph) pulse.beat(stream.graph);
});

async function copy(button) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
}

/** Asked by Dash when a filter changes: the address follows. */
function address(parameters) {
    url.write(parameters);
    return window.dash_clientside.no_update;
}

/** Asked by Dash when a filter of a list changes: the address follows, and the list the address. */
const ask = {
    logs(workload, source, level, since, text, trace, regex, live) {
        const [namespace, name] = (workload || "/").split("/");
        const found = { [regex ? "regex" : "grep"]: text, [regex ? "grep" : "regex"]: null };
        return asked({ namespace, workload: name, source, level, since, trace, ...found, live: live ? null : "no" });
    },
    tap(source, target, method, path, status, minMs, errors) {
        return asked({ source, target, method, path, status, minMs, errors: errors ? "true" : null });
    },
};

function asked(parameters) {
    const answer = address(parameters);
    for (const feed of feeds.values()) feed.follow();
    return answer;
}

new ChartTip();
const { early } = window.Meshscope;
window.Meshscope = { stream, page, wizard: new Wizard(setProps), address, ask, live: show };
for (const news of early) show(...news);
follow();
