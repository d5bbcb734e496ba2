// Two moments in one picture: what is new, what is gone, what fails or is slower. The verdicts are the server's.

import * as format from "./format.js";
import { asked, instant } from "./moments.js";
import { fromSnapshot } from "./stream.js";
import { duration } from "./graph-window.js";

const AGO = [60, 300, 600, 1800, 3600, 21600, 86400, 604800];
const SHORTEST_S = 60;
const REVISIONS = 20;

const WORDS = {
    failing: "fails more", slower: "slower", gone: "gone", added: "new", less_traffic: "less traffic",
    more_traffic: "more traffic", recovered: "fails less", faster: "faster",
};

/** Both moments at once: the picture of the later one with what only the earlier one had, each with its verdict. */
function merged(before, after, comparison) {
    const graph = { ...after, nodes: new Map([...before.nodes, ...after.nodes]), edges: new Map([...before.edges, ...after.edges]) };
    for (const [items, changes] of [[graph.nodes, comparison.nodes], [graph.edges, comparison.edges]]) {
        const verdicts = new Map(changes.map((change) => [change.id, change]));
        for (const [id, item] of items) items.set(id, judged(item, verdicts.get(id)));
    }
    return graph;
}

function judged(item, change) {
    const verdict = change?.verdicts[0] || "same";
    return { ...item, verdict, text: change && item.source ? said(verdict, change) : "" };
}

function said(verdict, { before, after }) {
    // Two lines: as wide as the room that the layout keeps for labels.
    if (verdict === "failing" || verdict === "recovered") return `${format.percent(before.errorRatio)} →\n${format.percent(after.errorRatio)}`;
    if (verdict === "slower" || verdict === "faster") return `${format.milliseconds(before.p95)} →\n${format.milliseconds(after.p95)}`;
    if (verdict.endsWith("traffic") && after.requests) return `${format.rate(before.rate)} →\n${format.rate(after.rate)} rps`;
    return WORDS[verdict].replace(" ", "\n");
}

export class Comparing {
    /**
     * `oldestMs`: since when anybody remembers; `sinceMs`: since when without a gap. `chosen(from)` when a person picks
     * what to compare with; null ends it.
     */
    constructor(root, { oldestMs, sinceMs }, chosen) {
        this.bar = root.querySelector(".comparing");
        this.select = this.bar.querySelector("#compare-from");
        this.oldestMs = oldestMs;
        this.sinceMs = sinceMs;
        this.chosen = chosen;
        this.select.addEventListener("change", () => chosen(this.select.value));
        this.bar.addEventListener("click", (event) => {
            const action = event.target.closest("[data-compare]")?.dataset.compare;
            if (action === "again") chosen(this.select.value);
            if (action === "end") chosen(null);
        });
    }

    /** Begins with the longest time ago, up to an hour, since which nothing was missed. */
    async begin() {
        await this.#offer();
        this.chosen(`-${within(this.sinceMs).findLast((seconds) => seconds <= 3600)}s`);
    }

    async put(from) {
        this.bar.hidden = !from;
        if (!from) return;
        if (!this.select.options.length) await this.#offer();
        if (![...this.select.options].some(({ value }) => value === from)) this.select.prepend(new Option(named(from), from));
        this.select.value = from;
    }

    /** Fetches what the address asks for: `{graph, moments}`. */
    async load({ type, window, from, at }) {
        const windowS = this.#windowS(Number(window), from);
        const base = `type=${type}&window=${windowS}s`;
        const comparison = await asked(`/api/v1/graph/compare?${base}&from=${encodeURIComponent(from)}${at ? `&to=${encodeURIComponent(at)}` : ""}`);
        // Now is asked for as such: frames of the past are up to ten seconds older.
        const isNow = !at && !from.startsWith("revision:");
        const moments = [comparison.from, isNow ? { ...comparison.to, at: null } : comparison.to];
        const [before, after] = await Promise.all(moments.map(async (one) => fromSnapshot(await asked(`/api/v1/graph?type=${type}&window=${one.window}s${one.at ? `&at=${one.at}` : ""}`))));
        this.#summarise(comparison);
        return { graph: merged(before, after, comparison), moments };
    }

    /** Long enough that counts can tell, and short enough that the two do not overlap. */
    #windowS(wanted, from) {
        const ago = from.startsWith("-") ? (duration(from.slice(1)) ?? Infinity) - 1 : Infinity;
        return Math.min(Math.max(SHORTEST_S, wanted), ago);
    }

    #summarise({ from, to, edges, undecided, same }) {
        const counts = new Map();
        for (const { verdicts } of edges) counts.set(verdicts[0], (counts.get(verdicts[0]) || 0) + 1);
        const told = [...counts].map(([verdict, count]) => `${count} ${WORDS[verdict]}`);
        const rest = [`${same} as before`, undecided && `${undecided} too rare to tell`].filter(Boolean).join(", ");
        this.bar.querySelector("[data-summary]").textContent = `${told.join(", ") || "No edge differs"}; ${rest}.`;
        this.bar.querySelector("[data-moments]").textContent = `${format.span(from.window)} to ${format.clock(from.at)} against ${format.span(to.window)} to ${format.clock(to.at)}`;
    }

    async #offer() {
        const moments = group("Some time ago", within(this.oldestMs).map((seconds) => new Option(seconds === 86400 ? "this time yesterday" : `${format.span(seconds)} ago`, `-${seconds}s`)));
        const revisions = await asked(`/api/v1/history?limit=${REVISIONS}`).catch(() => ({ items: [] }));
        const changes = (revisions.items || []).filter((one) => new Date(one.at).getTime() > this.oldestMs);
        const before = changes.map((one) => new Option(`revision ${one.revision}, ${format.clock(new Date(one.at))}: ${one.reason || one.author}`, `revision:${one.revision}`));
        this.select.replaceChildren(moments, ...(before.length ? [group("Before and after a change", before)] : []));
    }
}

/** How long ago one can compare with, where somebody has watched since `sinceMs`. */
const within = (sinceMs) => AGO.filter((seconds) => seconds * 2 <= (Date.now() - sinceMs) / 1000 || seconds === SHORTEST_S);

function named(from) {
    const ago = from.startsWith("-") && duration(from.slice(1));
    if (ago) return `${format.span(ago)} ago`;
    const at = instant(from, Date.now());
    return Number.isFinite(at) ? format.moment(at) : from.replace(":", " ");
}

function group(label, options) {
    const element = document.createElement("optgroup");
    element.label = label;
    element.append(...options);
    return element;
}
