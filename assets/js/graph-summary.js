// What surrounds the picture: counters, the sentence for screen readers, tables, the trail, and what must be said.

import * as format from "./format.js";
import { render as renderTable } from "./graph-table.js";

const STALE_MS = 8000;

function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

export class Summary {
    constructor(root) {
        this.pick = (selector) => root.querySelector(selector);
    }

    put(page) {
        const visible = (items) => [...items.values()].filter((item) => !page.hidden.has(item.id));
        const nodes = visible(page.part.nodes);
        const edges = visible(page.part.edges);
        this.#totals(nodes, edges);
        this.#unseen(page, nodes.length);
        this.#sentence(nodes, edges);
        this.table(page);
    }

    /** Requests that enter the graph are those of nodes that nobody here calls. */
    #totals(nodes, edges) {
        const called = new Set(edges.map((edge) => edge.target));
        const entering = edges.filter((edge) => !called.has(edge.source));
        const total = entering.reduce((sum, edge) => sum + (edge.rate || 0), 0);
        const failed = entering.reduce((sum, edge) => sum + (edge.rate || 0) * (edge.errorRatio || 0), 0);
        const values = { nodes: format.count(nodes.length), edges: format.count(edges.length), rate: format.rate(total), errors: total ? format.percent(failed / total) : "–" };
        for (const [name, value] of Object.entries(values)) put(this.pick(`[data-total="${name}"]`), String(value));
    }

    /** Why the picture is empty though the graph is not. */
    #unseen({ part, state }, shown) {
        this.pick("#graph-hidden").hidden = shown > 0 || !part.nodes.size;
        const by = [state.hide && `Hide (${state.hide})`, state.hiddenNamespaces.size && "the choice of namespaces", !state.idle && "leaving out what is idle"];
        put(this.pick("#graph-hidden p"), `${format.plural(part.nodes.size, "node")} left out by ${by.filter(Boolean).join(", ")}.`);
    }

    #sentence(nodes, edges) {
        const failing = nodes.filter((node) => node.health === "failure" || node.health === "degraded").map((node) => format.nodeName(node));
        put(this.pick("#graph-summary"), `${format.plural(nodes.length, "node")}, ${format.plural(edges.length, "edge")}. ${failing.length ? `In trouble: ${failing.sort().join(", ")}.` : "Nothing is failing."}`);
    }

    table({ state, part, found, hidden }) {
        if (!state.table) this.pick("#graph-table").replaceChildren();
        if (!state.table || !part || !hidden) return;
        renderTable(this.pick("#graph-table"), part, { found, hidden, selection: state.selection });
    }

    /** Where a person is: everything, then each node that was focused on; and how far around the last one. */
    trail({ state, trail, graph, path }) {
        const bar = this.pick(".graph-trail");
        const isLit = Boolean(state.blast || (state.trace && path) || state.light);
        bar.hidden = !state.focus && !isLit;
        this.pick(".graph-focus").hidden = !state.focus;
        const name = (id) => (graph?.nodes.has(id) ? format.nodeName(graph.nodes.get(id)) : id.split("/").at(-1));
        this.pick(".graph-lit").hidden = !isLit;
        if (isLit) put(this.pick(".graph-lit b"), state.blast ? `Who depends on ${name(state.blast)}` : path?.sentence || "A circle of calls");
        if (!state.focus) return;
        this.pick("#graph-crumbs").replaceChildren(...trail.map((id, index) => crumb(id, name(id), index === trail.length - 1)));
        for (const direction of ["up", "down"]) {
            put(this.pick(`[data-depth-of="${direction}"]`), String(state[direction]));
        }
    }

    /** One true sentence about the picture, or none when there is nothing to say. */
    notice(page) {
        const text = said(page);
        const notice = this.pick("#graph-notice");
        notice.hidden = !text;
        put(notice.querySelector("div"), text);
        const empty = page.graph && page.graph.nodes.size === 0;
        this.pick("#graph-empty").hidden = !empty;
        this.pick("#graph-loading").hidden = Boolean(page.graph) || Boolean(text);
        const crowded = page.crowded && !page.state.shut && page.graph && !page.state.focus;
        this.pick("#graph-crowded").hidden = !crowded || Boolean(text);
        if (crowded) put(this.pick("#graph-crowded div"), `${format.count(page.graph.nodes.size)} nodes are too many for one picture, so namespaces are shut. Double-click one to open it, or find, hide and focus on a node.`);
    }
}

function said({ state, graph, problem, connected, receivedAt }) {
    if (problem) return sentence(problem);
    if (state.at || state.from) return "";
    if (connected === false) return graph ? `Connection lost. This is the state of ${format.clock(graph.at)}; trying again …` : "The server does not answer; trying again …";
    const age = Date.now() - receivedAt;
    if (graph && age > Math.max(STALE_MS, Number(state.window) > 3600 ? 60000 : 0)) return `No news for ${format.ago(age)}. This is the state of ${format.clock(graph.at)}.`;
    return "";
}

const INSTANT = /\d{4}-\d\d-\d\dT[\d:.]+Z/g;

/** What the server says, with its instants as people write them. */
function sentence(text) {
    const told = text.replace(INSTANT, (one) => format.moment(Date.parse(one)));
    return told.charAt(0).toUpperCase() + told.slice(1) + (told.endsWith(".") ? "" : ".");
}

function crumb(id, text, isLast) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link-button";
    button.dataset.focus = id;
    button.textContent = text;
    if (isLast) button.setAttribute("aria-current", "true");
    return button;
}
