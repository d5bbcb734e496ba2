// What lies under the pointer, in a few words; the panel tells the rest. Hover only: keyboards have the panel.

import { KINDS, badgesOf } from "./badges.js";
import * as format from "./format.js";

const AWAY = 14;

function line(className, ...content) {
    const element = document.createElement("div");
    element.className = className;
    element.append(...content);
    return element;
}

function icon(name) {
    const element = document.createElement("span");
    element.className = `ic ic-${name}`;
    return element;
}

function traffic(direction, { rate, requests, errorRatio, p95, sent, received }) {
    if (!requests) return `${direction} ${format.bytesPerSecond((sent || 0) + (received || 0))}`;
    const parts = [`${direction} ${format.rate(rate)} rps`, `${format.percent(errorRatio)} errors`];
    if (p95 !== null) parts.push(`p95 ${format.milliseconds(p95)}`);
    return parts.join(" · ");
}

function ofNode(node) {
    const { word } = format.HEALTH[node.health] || format.HEALTH.idle;
    const what = [KINDS[node.kind]?.name || node.kind, node.namespace !== "unknown" && node.namespace, word].filter(Boolean).join(" · ");
    const rows = [line("tip-name", format.nodeName(node)), line("muted", what)];
    if (node.kind === "group") rows.push(line("", `${node.members} nodes. Double-click opens it.`));
    if (node.in) rows.push(line("", traffic("in", node.in)));
    if (node.out) rows.push(line("", traffic("out", node.out)));
    for (const badge of badgesOf(node)) rows.push(line("tip-badge", icon(badge.icon), line("", `${badge.name}. `, badge.text)));
    if (node.reason) rows.push(line("", node.reason));
    return rows;
}

function ofEdge(edge, name) {
    const rows = [line("tip-name", `${name(edge.source)} → ${name(edge.target)}`), line("", traffic(edge.protocol.toUpperCase(), edge))];
    if (edge.members > 1) rows.push(line("muted", `${edge.members} edges together`));
    if (edge.mtls !== null) rows.push(line("muted", edge.mtls >= 0.999 ? "all over mutual TLS" : `${format.percent(edge.mtls)} over mutual TLS`));
    if (edge.reason) rows.push(line("", `Nothing newer is known: ${edge.reason}`));
    if (edge.verdict) rows.push(line("tip-verdict", edge.verdict));
    return rows;
}

export class Tip {
    /** `element` floats in the stage; `cy` is the picture; `find(id)` gives a node or an edge. */
    constructor(element, cy, find) {
        this.element = element;
        this.cy = cy;
        this.find = find;
        cy.on("mouseover", "node[kind], edge", ({ target }) => this.show(target.id(), target.isNode() ? null : target.renderedMidpoint(), target));
        cy.on("mouseout pan zoom tapstart", () => this.hide());
    }

    hide() {
        this.element.hidden = true;
    }

    /** Tells of a node beside its element, or of an edge beside a point. */
    show(id, point, element = null) {
        const item = this.find(id);
        if (!item) return;
        const name = (end) => format.nodeName(this.find(end));
        this.element.replaceChildren(...(point ? ofEdge(item, name) : ofNode(item)));
        this.element.hidden = false;
        this.#place(point ? around(point) : element.renderedBoundingBox({ includeLabels: false }));
    }

    #place(box) {
        const { offsetWidth: width, offsetHeight: height } = this.element;
        const right = box.x2 + AWAY;
        const left = right + width <= this.cy.width() - 8 ? right : Math.max(8, box.x1 - AWAY - width);
        const top = Math.max(8, Math.min(box.y1, this.cy.height() - height - 8));
        this.element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
    }
}

const around = ({ x, y }) => ({ x1: x, x2: x, y1: y, y2: y });
