// The same graph as two tables, for keyboards, screen readers and people who like rows. Patched in place.

import * as format from "./format.js";
import { patch } from "./live.js";

/** More rows than this nobody reads, and they would cost seconds. */
const MOST_ROWS = 200;

const NODE_COLUMNS = [["Node"], ["Namespace"], ["Kind"], ["Health"], ["In, rps", "num"], ["Errors", "num"], ["p95", "num"], ["Out, rps", "num"]];
const EDGE_COLUMNS = [
    ["Edge"], ["Protocol"], ["Health"], ["Traffic", "num"], ["Errors", "num"], ["p50", "num"], ["p95", "num"], ["p99", "num"], ["mTLS"],
];

const attributes = (className) => (className ? { class: className } : {});
const cell = (text, className) => ["td", attributes(className), [text]];
const bad = (ratio) => (ratio > 0 ? "num bad" : "num");

function health(value) {
    const { word, tone } = format.HEALTH[value] || format.HEALTH.idle;
    return ["td", {}, [["span", { class: `dot ${tone}` }, []], ` ${word}`]];
}

/** How much of an edge mutual TLS protects, in the words of the lists (console/widgets/listing.py). */
function secured(share) {
    if (share === null) return "not measured";
    return share >= 0.9995 ? "all" : share > 0 ? format.percent(share) : "none";
}

function row(id, text, isChosen, cells) {
    const chooser = ["th", { scope: "row" }, [["button", { class: "link-button", type: "button", "data-select": id }, [text]]]];
    return ["tr", { "data-key": id, "aria-selected": String(isChosen) }, [chooser, ...cells]];
}

function table(what, columns, all, written) {
    const caption = `${what} (${all.length})`;
    const head = columns.map(([text, className]) => ["th", { scope: "col", ...attributes(className) }, [text]]);
    const rows = all.slice(0, MOST_ROWS).map(written);
    const rest = all.length > MOST_ROWS ? [["p", { class: "muted" }, [`${MOST_ROWS} of ${all.length}. Find brings others to the top, Hide and Focus narrow the graph.`]]] : [];
    return [
        ["h2", {}, [caption]],
        ["div", { class: "card", tabindex: "0", role: "region", "aria-label": caption }, [["table", { class: "table" }, [["thead", {}, [["tr", {}, head]]], ["tbody", {}, rows]]]]],
        ...rest,
    ];
}

/** The busiest first; what is shown already stays where it is, so that no row moves away from under the pointer. */
function settled(container) {
    const places = new Map([...container.querySelectorAll("[data-key]")].map(({ dataset }, place) => [dataset.key, place]));
    const place = ({ id }) => places.get(id) ?? Infinity;
    return (a, b) => (place(a) === place(b) ? (b.rate || 0) - (a.rate || 0) : place(a) - place(b));
}

/** Renders into `container` what is not hidden, what is found first. */
export function render(container, graph, { found, hidden, selection }) {
    const name = (id) => (graph.nodes.has(id) ? format.nodeName(graph.nodes.get(id)) : id);
    const sorted = (items, order) => [...items.values()].filter(({ id }) => !hidden.has(id)).sort((a, b) => found.has(b.id) - found.has(a.id) || order(a, b));
    const nodes = sorted(graph.nodes, (a, b) => (a.namespace + a.label + a.version < b.namespace + b.label + b.version ? -1 : 1));
    const edges = sorted(graph.edges, settled(container));
    const ofNode = (node) => row(node.id, name(node.id), node.id === selection, [
        cell(node.namespace), cell(node.kind), health(node.health),
        cell(node.in ? format.rate(node.in.rate) : "–", "num"), cell(node.in ? format.percent(node.in.errorRatio) : "–", bad(node.in?.errorRatio)),
        cell(node.in ? format.milliseconds(node.in.p95) : "–", "num"), cell(node.out ? format.rate(node.out.rate) : "–", "num"),
    ]);
    const ofEdge = (edge) => row(edge.id, `${name(edge.source)} → ${name(edge.target)}`, edge.id === selection, [
        cell(edge.protocol), health(edge.health),
        cell(edge.protocol === "tcp" && !edge.requests ? format.bytesPerSecond((edge.sent || 0) + (edge.received || 0)) : `${format.rate(edge.rate)} rps`, "num"),
        cell(format.percent(edge.errorRatio), bad(edge.errorRatio)), cell(format.milliseconds(edge.p50), "num"),
        cell(format.milliseconds(edge.p95), "num"), cell(format.milliseconds(edge.p99), "num"),
        cell(secured(edge.mtls)),
    ]);
    patch(container, [...table("Nodes", NODE_COLUMNS, nodes, ofNode), ...table("Edges", EDGE_COLUMNS, edges, ofEdge)]);
}
