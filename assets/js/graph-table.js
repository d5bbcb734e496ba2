// The same graph as two tables, for keyboards, screen readers and people who like rows.

import * as format from "./format.js";

const cell = (text, className = "") => {
    const element = document.createElement("td");
    element.textContent = text;
    element.className = className;
    return element;
};

const bad = (ratio) => (ratio > 0 ? "num bad" : "num");

function heading(text, className = "") {
    const element = document.createElement("th");
    element.scope = "col";
    element.textContent = text;
    element.className = className;
    return element;
}

function health(value) {
    const { word, tone } = format.HEALTH[value] || format.HEALTH.idle;
    const element = document.createElement("td");
    const dot = document.createElement("span");
    dot.className = `dot ${tone}`;
    element.append(dot, ` ${word}`);
    return element;
}

function chooser(text, id, select) {
    const element = document.createElement("th");
    element.scope = "row";
    const button = document.createElement("button");
    button.className = "link-button";
    button.type = "button";
    button.textContent = text;
    button.dataset.element = id;
    button.addEventListener("click", () => select(id));
    element.append(button);
    return element;
}

function table(caption, headings, rows) {
    const card = document.createElement("div");
    card.className = "card";
    card.tabIndex = 0;
    card.setAttribute("role", "region");
    card.setAttribute("aria-label", caption);
    const element = document.createElement("table");
    element.className = "table";
    const head = element.createTHead().insertRow();
    for (const [text, className] of headings) head.append(heading(text, className));
    const body = element.createTBody();
    for (const row of rows) body.append(row);
    card.append(element);
    const title = document.createElement("h2");
    title.textContent = caption;
    return [title, card];
}

/** Renders into `container`; `names` maps node ids to what people call them. */
export function render(container, graph, { hidden, selection, select }) {
    const focused = container.contains(document.activeElement) ? document.activeElement.dataset.element : null;
    const name = (id) => {
        const node = graph.nodes.get(id);
        return node ? format.nodeName(node) : id;
    };
    const visible = (items) => [...items.values()].filter((item) => !hidden.has(item.id));
    const nodes = visible(graph.nodes).sort((a, b) => (a.namespace + a.label + a.version < b.namespace + b.label + b.version ? -1 : 1));
    const edges = visible(graph.edges).sort((a, b) => (b.rate || 0) - (a.rate || 0));
    const nodeRows = nodes.map((node) => {
        const row = document.createElement("tr");
        const inbound = node.in;
        row.setAttribute("aria-selected", String(node.id === selection));
        row.append(
            chooser(name(node.id), node.id, select), cell(node.namespace), cell(node.kind), health(node.health),
            cell(inbound ? format.rate(inbound.rate) : "–", "num"), cell(inbound ? format.percent(inbound.errorRatio) : "–", inbound ? bad(inbound.errorRatio) : "num"),
            cell(inbound ? format.milliseconds(inbound.p95) : "–", "num"), cell(node.out ? format.rate(node.out.rate) : "–", "num"),
        );
        return row;
    });
    const edgeRows = edges.map((edge) => {
        const row = document.createElement("tr");
        row.setAttribute("aria-selected", String(edge.id === selection));
        const bytes = (edge.sent || 0) + (edge.received || 0);
        row.append(
            chooser(`${name(edge.source)} → ${name(edge.target)}`, edge.id, select), cell(edge.protocol), health(edge.health),
            cell(edge.protocol === "tcp" && !edge.requests ? format.bytesPerSecond(bytes) : `${format.rate(edge.rate)} rps`, "num"),
            cell(format.percent(edge.errorRatio), bad(edge.errorRatio)), cell(format.milliseconds(edge.p50), "num"),
            cell(format.milliseconds(edge.p95), "num"), cell(format.milliseconds(edge.p99), "num"),
            cell(edge.mtls === null ? "not known" : edge.mtls >= 0.999 ? "mutual TLS" : format.percent(edge.mtls)),
        );
        return row;
    });
    container.replaceChildren(
        ...table(`Nodes (${nodes.length})`, [["Node"], ["Namespace"], ["Kind"], ["Health"], ["In, rps", "num"], ["Errors", "num"], ["p95", "num"], ["Out, rps", "num"]], nodeRows),
        ...table(`Edges (${edges.length})`, [["Edge"], ["Protocol"], ["Health"], ["Traffic", "num"], ["Errors", "num"], ["p50", "num"], ["p95", "num"], ["p99", "num"], ["mTLS"]], edgeRows),
    );
    if (focused) container.querySelector(`[data-element="${CSS.escape(focused)}"]`)?.focus();
}
