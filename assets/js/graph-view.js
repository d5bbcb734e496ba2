// Keeps a cytoscape picture in step with the live graph. Numbers change in place; nothing jumps.

import * as format from "./format.js";
import { Places, parentOf } from "./layout.js";
import { stylesheet, tokens } from "./graph-style.js";
import { Traffic } from "./traffic.js";

const CYTOSCAPE = "/assets/vendor/cytoscape.min.js";
const RICH_EDGES = 300;
const SETTLE_MS = 220;

let library = null;

export async function loadLibrary() {
    library ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = CYTOSCAPE;
        script.onload = () => resolve(window.cytoscape);
        script.onerror = () => reject(new Error("the graph library did not load"));
        document.head.append(script);
    });
    return library;
}

/** What an edge says, by the labels a person chose. */
export function edgeText(edge, labels) {
    if (edge.presence === "stale") return "stale";
    if (edge.presence !== "live") return "";
    const lines = [];
    if (edge.protocol === "tcp" && !edge.requests) {
        if (labels.has("rate")) lines.push(format.bytesPerSecond((edge.sent || 0) + (edge.received || 0)));
    } else {
        if (labels.has("rate")) lines.push(`${format.rate(edge.rate)} rps`);
        if (labels.has("errors") && edge.errors > 0) lines.push(`${format.percent(edge.errorRatio)} err`);
        for (const quantile of ["p50", "p95", "p99"]) {
            if (labels.has(quantile) && edge[quantile] !== null) lines.push(format.milliseconds(edge[quantile]));
        }
    }
    return lines.join("\n");
}

export class GraphView {
    /** `selected(id | null)` when a person picks something; `placed()` after a layout. */
    constructor(cytoscape, container, overlay, { selected, placed }) {
        this.theme = tokens();
        this.labels = new Set();
        this.boxed = true;
        this.selected = selected;
        this.placed = placed;
        this.touched = false;
        this.container = container;
        this.cy = cytoscape({
            container,
            style: stylesheet(this.theme),
            layout: { name: "preset" },
            minZoom: 0.1,
            maxZoom: 2.6,
            boxSelectionEnabled: false,
            textureOnViewport: false,
        });
        this.traffic = new Traffic(overlay, this.cy, this.theme);
        this.#listen();
        this.resizing = new ResizeObserver(() => {
            this.cy.resize();
            if (!this.touched && this.cy.elements().nonempty()) this.fit();
        });
        this.resizing.observe(container);
    }

    destroy() {
        this.resizing.disconnect();
        clearTimeout(this.timer);
        this.traffic.stop();
        this.cy.destroy();
    }

    #listen() {
        const { cy } = this;
        cy.on("tap", (event) => {
            if (event.target === cy || event.target.data("box")) this.pick(null);
        });
        cy.on("tap", "node[kind], edge", (event) => this.pick(event.target.id()));
        cy.on("mouseover", "node[kind]", (event) => {
            const near = event.target.closedNeighborhood();
            cy.batch(() => cy.elements("node[kind], edge").not(near).addClass("dim"));
            this.container.style.cursor = "pointer";
        });
        cy.on("mouseover", "edge", () => { this.container.style.cursor = "pointer"; });
        cy.on("mouseout", "node[kind], edge", () => {
            cy.elements().removeClass("dim");
            this.container.style.cursor = "";
        });
        cy.on("dragfree", "node[kind]", (event) => {
            this.places.move(event.target.id(), event.target.position());
            this.#route(event.target.connectedEdges());
        });
        cy.on("dragpan scrollzoom pinchzoom", () => { this.touched = true; });
    }

    setTheme() {
        this.theme = tokens();
        this.cy.style(stylesheet(this.theme));
        this.traffic.setTheme(this.theme);
    }

    /** Shows another topic from scratch, with the places it had last time. */
    topic(name) {
        this.places = new Places(name);
        this.touched = false;
        this.cy.elements().remove();
        this.graph = null;
    }

    show(graph, change) {
        this.graph = graph;
        if (change.whole || change.message.goneNodes.length || change.message.goneEdges.length || this.#unknown(change.message)) {
            this.#sync(graph);
        } else {
            this.cy.batch(() => {
                for (const node of change.message.nodes) this.cy.getElementById(node.id).data(nodeData(node));
                for (const edge of change.message.edges) this.cy.getElementById(edge.id).data(this.#edgeData(edge));
            });
        }
    }

    relabel(labels) {
        this.labels = labels;
        this.traffic.locks = labels.has("mtls");
        this.traffic.moved = true;
        if (!this.graph) return;
        this.cy.batch(() => {
            for (const edge of this.graph.edges.values()) this.cy.getElementById(edge.id).data(this.#edgeData(edge));
        });
    }

    async rebox(boxed) {
        this.boxed = boxed;
        if (!this.graph) return;
        this.places.forget();
        this.cy.elements().remove();
        this.#sync(this.graph);
    }

    async arrangeAnew() {
        this.places.forget();
        this.touched = false;
        this.#sync(this.graph);
    }

    #unknown(message) {
        return message.nodes.some((node) => this.cy.getElementById(node.id).empty()) || message.edges.some((edge) => this.cy.getElementById(edge.id).empty());
    }

    #edgeData(edge) {
        const route = this.places.routes[edge.id];
        return { ...edge, text: edgeText(edge, this.labels), labelAt: route?.label };
    }

    #sync(graph) {
        const { cy } = this;
        const boxes = this.boxed ? graph.boxes : new Map();
        const ids = new Set([...graph.nodes.keys(), ...graph.edges.keys(), ...boxes.keys()]);
        cy.batch(() => {
            cy.elements().filter((element) => !ids.has(element.id())).remove();
            for (const box of boxes.values()) this.#put("nodes", { id: box.id, label: box.label, box: box.kind });
            for (const node of graph.nodes.values()) {
                const data = nodeData(node);
                if (!this.boxed) data.parent = null;
                this.#put("nodes", data, this.places.nodes[node.id]);
            }
            for (const edge of graph.edges.values()) this.#put("edges", this.#edgeData(edge));
        });
        cy.renderer().textureOnViewport = graph.edges.size > RICH_EDGES; // panning stays smooth on large graphs
        if (this.places.knows(graph)) {
            this.#apply(false);
        } else {
            clearTimeout(this.timer);
            this.timer = setTimeout(() => this.#arrange(), SETTLE_MS);
        }
    }

    #put(group, data, position) {
        const element = this.cy.getElementById(data.id);
        if (element.nonempty()) {
            if (group === "nodes" && (element.data("parent") || null) !== (data.parent || null)) element.move({ parent: data.parent || null });
            element.data(data);
        } else {
            this.cy.add({ group, data, position: position ? { x: position.x, y: position.y } : undefined });
        }
    }

    async #arrange() {
        const { cy } = this;
        const places = this.places;
        const fresh = Object.keys(places.nodes).length === 0;
        await places.arrange(this.graph, { aspect: Math.max(0.6, (cy.width() - 40) / Math.max(200, cy.height() - 150)), boxed: this.boxed });
        if (this.places !== places || cy.destroyed()) return;
        this.#apply(!fresh);
        if (!places.knows(this.graph)) this.#arrange(); // it grew meanwhile
    }

    #apply(animated) {
        const { cy, places } = this;
        const smooth = animated && !this.traffic.reduced.matches;
        cy.nodes("[kind]").forEach((node) => {
            const place = places.nodes[node.id()];
            if (!place) return;
            if (smooth) node.animate({ position: { x: place.x, y: place.y } }, { duration: 260, complete: () => this.#route(node.connectedEdges()) });
            else node.position({ x: place.x, y: place.y });
        });
        if (!smooth) cy.batch(() => this.#route(cy.edges()));
        if (!this.touched) {
            if (smooth) setTimeout(() => !cy.destroyed() && this.fit(), 280);
            else this.fit();
        }
        this.placed();
    }

    /** Edges follow the layout's route; those of a node that a person moved bend freely. */
    #route(edges) {
        edges.forEach((edge) => {
            const route = this.places.routes[edge.id()];
            const source = this.places.nodes[edge.source().id()];
            const target = this.places.nodes[edge.target().id()];
            if (!route || !source || !target || source.moved || target.moved) {
                edge.removeStyle();
                edge.data("labelAt", undefined);
                return;
            }
            edge.data("labelAt", route.label);
            edge.style(routeStyle(route, source, target));
        });
        this.traffic.paths.clear();
    }

    pick(id) {
        this.highlight(id);
        this.selected(id);
    }

    highlight(id) {
        this.cy.elements(":selected").unselect();
        if (id) this.cy.getElementById(id).select();
    }

    /** Classes from find and hide; hidden nodes take their edges with them. */
    mark({ found, hidden }) {
        this.cy.batch(() => {
            this.cy.elements().forEach((element) => {
                if (element.data("box")) return;
                element.toggleClass("found", found.has(element.id()));
                element.toggleClass("hidden", hidden.has(element.id()));
            });
            this.cy.nodes("[box]").forEach((box) => {
                box.toggleClass("hidden", box.children().every((child) => child.hasClass("hidden")));
            });
        });
    }

    fit() {
        const { cy } = this;
        const visible = cy.elements().not(".hidden");
        if (visible.empty()) return;
        const bounds = visible.boundingBox();
        const width = cy.width();
        const height = cy.height();
        const bottom = height > 460 ? 78 : 16; // the legend and the counters float there
        const zoom = Math.min((width - 32) / bounds.w, (height - bottom - 20) / bounds.h, 0.95);
        const pan = { x: width / 2 - (zoom * (bounds.x1 + bounds.x2)) / 2, y: 8 + (height - bottom) / 2 - (zoom * (bounds.y1 + bounds.y2)) / 2 };
        cy.viewport({ zoom, pan });
    }

    zoomBy(factor) {
        this.touched = true;
        this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
    }

    /** The nearest visible node in a direction from the selection, for arrow keys. */
    step(dx, dy) {
        const nodes = this.cy.nodes("[kind]").not(".hidden");
        const current = this.cy.nodes("[kind]:selected").first();
        if (current.empty()) {
            const first = nodes.sort((a, b) => a.position("x") - b.position("x")).first();
            if (first.nonempty()) this.pick(first.id());
            return;
        }
        const from = current.position();
        let best = null;
        nodes.forEach((node) => {
            const along = (node.position("x") - from.x) * dx + (node.position("y") - from.y) * dy;
            const aside = Math.abs((node.position("x") - from.x) * dy) + Math.abs((node.position("y") - from.y) * dx);
            if (along > 8 && (!best || along + 2 * aside < best.cost)) best = { node, cost: along + 2 * aside };
        });
        if (best) this.pick(best.node.id());
    }
}

function nodeData(node) {
    return { ...node, parent: parentOf(node) };
}

function routeStyle({ start, bends, end }, source, target) {
    const style = {
        "source-endpoint": `${start.x - source.x}px ${start.y - source.y}px`,
        "target-endpoint": `${end.x - target.x}px ${end.y - target.y}px`,
    };
    if (!bends.length) return { ...style, "curve-style": "straight" };
    const dx = target.x - source.x;
    const dy = target.y - source.y;
    const length = Math.hypot(dx, dy) || 1;
    return {
        ...style,
        "curve-style": "round-segments",
        "edge-distances": "node-position",
        "segment-radii": 12,
        "radius-type": "arc-radius",
        "segment-weights": bends.map((bend) => ((bend.x - source.x) * dx + (bend.y - source.y) * dy) / length ** 2),
        "segment-distances": bends.map((bend) => ((bend.x - source.x) * -dy + (bend.y - source.y) * dx) / length),
    };
}
