// Keeps a cytoscape picture in step with the live graph. Numbers change in place; nothing jumps.

import * as format from "./format.js";
import { Tip } from "./graph-tip.js";
import { MANY_EDGES, Places } from "./layout.js";
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
    /**
     * `selected(id | null)` when a person picks something, `opened(id)` on a double click, `asked(id, place)` for a menu;
     * `placed()` after a layout, `moved(camera)` when a person has looked elsewhere, null: at everything.
     */
    constructor(cytoscape, { container, overlay, tip }, { selected, opened, asked, placed, moved }) {
        this.theme = tokens();
        this.labels = new Set();
        this.selected = selected;
        this.opened = opened;
        this.asked = asked;
        this.placed = placed;
        this.moved = moved;
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
        this.tip = new Tip(tip, this.cy);
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
        clearTimeout(this.turning);
        this.traffic.stop();
        this.cy.destroy();
    }

    #listen() {
        const { cy } = this;
        cy.on("tap", (event) => {
            if (event.target === cy) this.pick(null);
        });
        cy.on("tap", "node, edge", (event) => this.pick(event.target.id()));
        cy.on("dbltap", "node", (event) => this.opened(event.target.id()));
        cy.on("cxttap", "node, edge", (event) => this.asked(event.target.id(), event.renderedPosition));
        cy.on("mouseover", "node[kind]", (event) => {
            const near = event.target.closedNeighborhood();
            cy.batch(() => {
                cy.elements("node[kind], edge").not(near).addClass("dim");
                near.addClass("near");
            });
            this.container.style.cursor = "pointer";
        });
        cy.on("mouseover", "edge", () => { this.container.style.cursor = "pointer"; });
        cy.on("mouseout", "node[kind], edge", () => {
            cy.elements().removeClass("dim near");
            this.container.style.cursor = "";
        });
        cy.on("dragfree", "node[kind]", (event) => {
            this.places.move(event.target.id(), event.target.position());
            this.#route(event.target.connectedEdges());
        });
        cy.on("dragpan scrollzoom pinchzoom", () => this.#turned());
    }

    setTheme() {
        this.theme = tokens();
        this.cy.style(stylesheet(this.theme));
        this.traffic.setTheme(this.theme);
    }

    /** Shows another topic from scratch, with the places it had last time; those of passing views are not kept. */
    topic(name, passing = false) {
        this.places = new Places(name, passing);
        this.touched = false;
        this.cy.elements().remove();
        this.graph = null;
        this.container.classList.add("arranging");
    }

    /** Shows `{nodes, edges, boxes, inside}`: what is the same object as before is not touched. */
    show(graph) {
        const before = this.graph;
        this.graph = { ...graph, nodes: new Map(graph.nodes), edges: new Map(graph.edges) };
        const same = before && sameKeys(before.nodes, graph.nodes) && sameKeys(before.edges, graph.edges) && sameBoxes(before, graph);
        if (!same) {
            this.#sync();
            return;
        }
        this.cy.batch(() => {
            for (const node of news(before.nodes, graph.nodes)) this.cy.getElementById(node.id).data(this.#nodeData(node));
            for (const edge of news(before.edges, graph.edges)) this.cy.getElementById(edge.id).data(this.#edgeData(edge));
        });
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

    arrangeAnew() {
        if (!this.graph) return;
        this.places.forget();
        this.refit();
        this.#sync();
    }

    #nodeData(node) {
        return { verdict: "", ...node, parent: this.graph.inside.get(node.id) || null };
    }

    #edgeData(edge) {
        const isCalm = this.isCrowded && edge.presence === "live" && edge.health !== "failure" && edge.health !== "degraded";
        const text = isCalm ? "" : edge.text ?? edgeText(edge, this.labels);
        return { verdict: "", ...edge, text, labelAt: this.places.routes[edge.id]?.label, calm: isCalm };
    }

    /** Of so many edges only what is wrong is told, until the pointer asks. */
    get isCrowded() {
        return this.graph.edges.size > MANY_EDGES;
    }

    #sync() {
        const { cy, graph } = this;
        const ids = new Set([...graph.nodes.keys(), ...graph.edges.keys(), ...graph.boxes.keys()]);
        cy.batch(() => {
            for (const { id, label, kind, parent } of graph.boxes.values()) this.#put("nodes", { id, label, box: kind, parent });
            for (const node of graph.nodes.values()) this.#put("nodes", this.#nodeData(node), this.places.nodes[node.id]);
            for (const edge of graph.edges.values()) this.#put("edges", this.#edgeData(edge));
            cy.elements().filter((element) => !ids.has(element.id())).remove();
        });
        this.traffic.isCrowded = this.isCrowded;
        cy.renderer().textureOnViewport = graph.edges.size > RICH_EDGES; // panning stays smooth on large graphs
        clearTimeout(this.timer);
        if (this.places.knows(graph)) this.#apply(false);
        else this.timer = setTimeout(() => this.#arrange(), SETTLE_MS);
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
        await places.arrange(this.graph, { aspect: Math.max(0.6, (cy.width() - 40) / Math.max(200, cy.height() - 150)) });
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
        this.container.classList.remove("arranging");
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
        const wanted = id ? this.cy.getElementById(id) : this.cy.collection();
        this.cy.elements(":selected").not(wanted).unselect();
        wanted.not(":selected").select();
    }

    /** Classes from find, hide and what is lit (null: everything); hidden nodes take their edges with them. */
    mark({ found, hidden, lit }) {
        this.cy.batch(() => {
            this.cy.elements().forEach((element) => {
                if (!element.isEdge() && !element.data("kind")) return;
                element.toggleClass("found", found.has(element.id()));
                element.toggleClass("hidden", hidden.has(element.id()));
                element.toggleClass("faded", Boolean(lit) && !lit.has(element.id()));
            });
            this.cy.nodes("[box]").forEach((box) => {
                box.toggleClass("hidden", box.descendants("[kind]").every((inner) => inner.hasClass("hidden")));
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

    refit() {
        clearTimeout(this.turning);
        this.look(null);
        this.moved(null);
    }

    /** Looks where a camera looks; null: at everything. */
    look(camera) {
        const [x, y, zoom] = (camera || "").split(",").map(Number);
        this.touched = zoom > 0;
        if (!this.touched) this.fit();
        else this.cy.viewport({ zoom, pan: { x: this.cy.width() / 2 - zoom * x, y: this.cy.height() / 2 - zoom * y } });
    }

    /** A person has moved or zoomed; where to is told when they rest. */
    #turned() {
        this.touched = true;
        clearTimeout(this.turning);
        this.turning = setTimeout(() => {
            const { x1, y1, w, h } = this.cy.extent();
            this.moved([x1 + w / 2, y1 + h / 2, this.cy.zoom()].map((value) => Number(value.toFixed(3))).join());
        }, SETTLE_MS);
    }

    /** The whole picture as a PNG. */
    picture(scale) {
        return this.cy.png({ full: true, scale, bg: this.theme.canvas, output: "blob" });
    }

    zoomBy(factor) {
        this.#turned();
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

const sameKeys = (some, other) => some.size === other.size && [...other.keys()].every((key) => some.has(key));

const sameBoxes = (some, other) => sameKeys(some.boxes, other.boxes) && [...other.inside].every(([node, box]) => some.inside.get(node) === box);

const news = (before, now) => [...now.values()].filter((item) => before.get(item.id) !== item);

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
