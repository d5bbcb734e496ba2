// Where things stand. ELK (layered, orthogonal) in a worker places nodes, routes edges round them and
// keeps room for labels. What was placed once stays: a layout is computed only when something is new.

import { version } from "./format.js";

const NODE = 52;
const API = "/assets/vendor/elk-api.js";
const WORKER = "/assets/vendor/elk-worker.min.js";
const STORE = "meshscope.layout.10.";
const PADDING = "[top=28,left=20,bottom=44,right=20]";
const LABEL = { width: 80, line: 18, lines: 2 };
const CHARACTER = 9;
const LINE = 20;
const LONG = 13;
const WIDEST = 150;
/** From so many edges on nodes stand in rows, by name, and no edge is led round them: anything better takes minutes. */
export const MANY_EDGES = 160;
const ROWS = { "elk.algorithm": "rectpacking", "elk.spacing.nodeNode": "24" };
const ROOM = { width: 128, height: 124 };

let engine = null;

async function elk() {
    engine ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = API;
        script.onload = () => resolve(new window.ELK({ workerUrl: WORKER }));
        script.onerror = () => reject(new Error("the layout engine did not load"));
        document.head.append(script);
    });
    return engine;
}

/** What a node is called, in lines: long names break near their middle, the version follows. */
export function lines(node) {
    const second = node.kind === "group" ? `${node.members} nodes` : [version(node), node.replicas > 1 ? `×${node.replicas}` : ""].filter(Boolean).join(" ");
    return [...halves(node.label), ...(second ? [second] : [])];
}

function halves(name) {
    if (name.length <= LONG) return [name];
    const breaks = [...name.matchAll(/[.\-_/]/g)].map((match) => match.index + 1);
    const middle = name.length / 2;
    const at = breaks.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle))[0];
    return at && at < name.length ? [name.slice(0, at), name.slice(at)] : [name];
}

function nameplate(node) {
    const text = lines(node);
    return { text: node.label, width: Math.max(NODE, CHARACTER * Math.max(...text.map((line) => line.length))), height: 6 + LINE * text.length };
}

/** The places of one topic: `nodes[id] = {x, y, moved?}`, `routes[id] = {start, bends, end, label}`. */
export class Places {
    /** Those of a passing view last as long as the page. Labels of edges have up to `lines` lines. */
    constructor(topic, passing, lines) {
        this.lines = Math.max(LABEL.lines, lines);
        this.key = passing ? null : `${STORE}${topic}.${this.lines}`;
        const kept = this.key && JSON.parse(localStorage.getItem(this.key) || "null");
        this.nodes = kept?.nodes || {};
        this.routes = kept?.routes || {};
    }

    knows(graph) {
        for (const id of graph.nodes.keys()) if (!this.nodes[id]) return false;
        if (isLarge(graph)) return true;
        for (const edge of graph.edges.values()) if (edge.source !== edge.target && !(edge.id in this.routes)) return false;
        return true;
    }

    move(id, position) {
        this.nodes[id] = { x: position.x, y: position.y, moved: true };
        this.keep();
    }

    forget() {
        this.nodes = {};
        this.routes = {};
        if (this.key) localStorage.removeItem(this.key);
    }

    keep() {
        if (!this.key) return;
        try {
            localStorage.setItem(this.key, JSON.stringify({ nodes: this.nodes, routes: this.routes }));
        } catch {
            localStorage.removeItem(this.key); // full: positions then last as long as the page
        }
    }

    /** Places everything in the graph; nodes that a person moved stay where they were put. */
    async arrange(graph, { aspect }) {
        const engine = await elk();
        let spacing = 40;
        let result = await engine.layout(isLarge(graph) ? inRows(graph, aspect) : describe(graph, spacing, this.lines));
        // Layers decide the width; what is left of the height goes between the rows.
        for (let stretch = shape(result) / aspect; !isLarge(graph) && stretch > 1.15 && spacing < WIDEST; stretch = shape(result) / aspect) {
            spacing = Math.min(WIDEST, spacing * Math.min(2.4, stretch));
            result = await engine.layout(describe(graph, spacing, this.lines));
        }
        const moved = Object.entries(this.nodes).filter(([, place]) => place.moved);
        const { nodes, routes } = collect(result);
        // Places of what is away at the moment are kept: traffic that comes back finds them again.
        Object.assign(this.nodes, nodes, Object.fromEntries(moved));
        const unled = isLarge(graph) ? {} : Object.fromEntries([...graph.edges.keys()].map((id) => [id, null]));
        this.routes = { ...this.routes, ...unled, ...routes };
        this.keep();
    }
}

const shape = ({ width, height }) => width / height;
const byId = (items) => [...items.values()].sort((a, b) => (a.id < b.id ? -1 : 1));

const isLarge = (graph) => graph.edges.size > MANY_EDGES;

/** The nodes in their boxes, for the engine: `layoutOptions` for each box, `shaped(node)` for each node. */
function nested(graph, layoutOptions, shaped) {
    const roots = [];
    const shapes = new Map();
    const into = (parent) => shapes.get(parent)?.children || roots;
    for (const { id, parent } of byId(graph.boxes)) shapes.set(id, { id, parent, children: [], layoutOptions });
    for (const box of shapes.values()) into(box.parent).push(box);
    for (const node of byId(graph.nodes)) into(graph.inside.get(node.id)).push({ id: node.id, ...shaped(node) });
    return roots;
}

function inRows(graph, aspect) {
    const options = { ...ROWS, "elk.padding": PADDING, "elk.aspectRatio": String(aspect) };
    return { id: "root", layoutOptions: { ...options, "org.eclipse.elk.json.shapeCoords": "ROOT" }, children: nested(graph, options, () => ROOM), edges: [] };
}

function describe(graph, spacing, lines) {
    const label = { text: "label", width: LABEL.width, height: LABEL.line * lines, layoutOptions: { "elk.edgeLabels.inline": "true" } };
    const options = {
        "elk.spacing.nodeNode": String(spacing),
        "elk.layered.spacing.nodeNodeBetweenLayers": "10",
        "elk.layered.spacing.edgeNodeBetweenLayers": "10",
        "elk.layered.spacing.edgeEdgeBetweenLayers": "10",
        "elk.spacing.edgeNode": "26",
        "elk.spacing.edgeEdge": "16",
        "elk.spacing.edgeLabel": "4",
        "elk.spacing.labelLabel": "6",
        "elk.spacing.labelNode": "6",
        "elk.spacing.componentComponent": "48",
    };
    // Spacing is not inherited by compounds: each box needs its own.
    const roots = nested(graph, { ...options, "elk.padding": PADDING }, (node) => ({
        width: NODE,
        height: NODE,
        labels: [nameplate(node)],
        layoutOptions: { "elk.nodeLabels.placement": "[H_CENTER, V_BOTTOM, OUTSIDE]" },
    }));
    const edges = byId(graph.edges)
        .filter((edge) => edge.source !== edge.target)
        .map((edge) => ({
            id: edge.id,
            sources: [edge.source],
            targets: [edge.target],
            labels: [{ ...label }],
        }));
    return {
        id: "root",
        layoutOptions: {
            ...options,
            "elk.algorithm": "layered",
            "elk.direction": "RIGHT",
            "elk.hierarchyHandling": "INCLUDE_CHILDREN",
            "elk.edgeRouting": "ORTHOGONAL",
            "elk.edgeLabels.placement": "CENTER",
            "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
            "elk.layered.unnecessaryBendpoints": "false",
            "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
            "org.eclipse.elk.json.shapeCoords": "ROOT",
            "org.eclipse.elk.json.edgeCoords": "ROOT",
        },
        children: roots,
        edges,
    };
}

function collect(result) {
    const nodes = {};
    const routes = {};
    const visit = (item) => {
        for (const child of item.children || []) {
            if (child.children?.length) visit(child);
            else nodes[child.id] = { x: round(child.x + child.width / 2), y: round(child.y + child.height / 2) };
        }
        for (const edge of item.edges || []) {
            const section = edge.sections?.[0];
            if (!section) continue;
            const label = edge.labels?.[0];
            const route = {
                start: point(section.startPoint),
                bends: (section.bendPoints || []).map(point),
                end: point(section.endPoint),
            };
            if (label?.x !== undefined) {
                route.label = alongside(route, { x: label.x + label.width / 2, y: label.y + label.height / 2 });
            }
            routes[edge.id] = route;
        }
    };
    visit(result);
    return { nodes, routes };
}

/** How far along the route, in model pixels, the point nearest to `target` lies. */
function alongside(route, target) {
    const points = [route.start, ...route.bends, route.end];
    let best = { distance: Infinity, offset: 0 };
    let walked = 0;
    for (let index = 1; index < points.length; index += 1) {
        const from = points[index - 1];
        const to = points[index];
        const length = Math.hypot(to.x - from.x, to.y - from.y);
        if (!length) continue;
        const share = Math.max(0, Math.min(1, ((target.x - from.x) * (to.x - from.x) + (target.y - from.y) * (to.y - from.y)) / length ** 2));
        const distance = Math.hypot(from.x + share * (to.x - from.x) - target.x, from.y + share * (to.y - from.y) - target.y);
        if (distance < best.distance) best = { distance, offset: walked + share * length };
        walked += length;
    }
    return round(best.offset);
}

const round = (value) => Math.round(value * 10) / 10;
const point = ({ x, y }) => ({ x: round(x), y: round(y) });
