// Keeps a cytoscape picture in step with the live graph. Numbers change in place; nothing jumps.

import { Crowd } from "./graph-crowd.js";
import { edgeLook, linesOf, lookKey, nodeLook } from "./graph-looks.js";
import { around, enclose, routeStyle } from "./graph-routes.js";
import { Tip } from "./graph-tip.js";
import { MANY_EDGES, Places } from "./layout.js";
import { stylesheet, tokens } from "./graph-style.js";
import { Traffic } from "./traffic.js";

const CYTOSCAPE = "/assets/vendor/cytoscape.min.js";
const RICH_EDGES = 300;
const SETTLE_MS = 220;
/** In a crowd so many edges in trouble are told of one by one. */
const MOST_TOLD = 120;

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

/** Where a box is and what it is called; those of apps are too many to be named. */
const outlined = (box) => ({ ...box.boundingBox({ includeLabels: false }), name: box.data("box") === "app" ? "" : box.data("label").toUpperCase() });

export class GraphView {
    /**
     * `selected(id | null)` when a person picks something, `opened(id)` on a double click, `asked(id, place)` for a menu;
     * `placed()` after a layout, `moved(camera)` when a person has looked elsewhere, null: at everything.
     */
    constructor(cytoscape, { container, crowd, overlay, tip }, { selected, opened, asked, placed, moved }) {
        this.theme = tokens();
        this.labels = new Set();
        this.graph = null;
        this.marks = { found: new Set(), hidden: new Set(), lit: null };
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
        const find = (id) => this.graph?.nodes.get(id) || this.graph?.edges.get(id);
        this.crowd = new Crowd(crowd, this.cy, () => this.places.nodes, () => this.cy.nodes("[box]").not(".hidden").map(outlined));
        this.crowd.theme = this.theme;
        this.traffic = new Traffic(overlay, this.cy, this.theme, find);
        this.tip = new Tip(tip, this.cy, find);
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
        const pick = (id) => queueMicrotask(() => this.pick(id)); // after cytoscape has selected what it thinks was meant
        cy.on("tap", (event) => {
            if (event.target === cy) pick(this.crowd.at(event.position));
        });
        cy.on("mousemove", (event) => {
            const isGround = event.target === cy || event.target.data("box");
            if (isGround && this.crowd.edges.size) this.#overCrowd(event);
        });
        cy.on("tap", "node, edge", ({ target, position }) => pick((target.data("box") && this.crowd.at(position)) || target.id()));
        cy.on("dbltap", "node", (event) => this.opened(event.target.id()));
        cy.on("cxttap", "node, edge", (event) => this.asked(event.target.id(), event.renderedPosition));
        cy.on("mouseover", "node[kind]", (event) => {
            this.container.style.cursor = "pointer";
            this.crowd.stress(event.target.id());
            if (this.isCrowded) return;
            const near = event.target.closedNeighborhood();
            cy.batch(() => cy.elements("node[kind], edge").not(near).addClass("dim"));
        });
        cy.on("mouseover", "edge", () => { this.container.style.cursor = "pointer"; });
        cy.on("mouseout", "node[kind], edge", () => {
            cy.elements(".dim").removeClass("dim");
            this.crowd.stress(this.chosen);
            this.container.style.cursor = "";
        });
        cy.on("dragfree", "node[kind]", (event) => {
            this.places.move(event.target.id(), event.target.position());
            this.crowd.redraw();
            this.#route(event.target.connectedEdges());
        });
        cy.on("dragpan scrollzoom pinchzoom", () => this.#turned());
    }

    setTheme() {
        this.theme = tokens();
        this.crowd.theme = this.theme;
        this.crowd.redraw();
        this.cy.style(stylesheet(this.theme));
        this.traffic.setTheme(this.theme);
    }

    /** Shows another topic from scratch, with the places it had last time; those of passing views are not kept. */
    topic(name, passing = false) {
        this.places = new Places(name, passing, linesOf(this.labels));
        this.touched = false;
        clearTimeout(this.timer);
        this.cy.elements().remove();
        this.looks = new Map();
        this.marked = new Map();
        this.graph = null;
        this.container.classList.add("arranging");
    }

    /** Shows `{nodes, edges, boxes, inside}`; what looks the same as before is not touched. */
    show(graph) {
        this.graph = graph;
        clearTimeout(this.timer);
        const isKnown = this.places.knows(graph);
        // Thousands of elements are made only once they have places.
        if (isKnown || !this.isCrowded) this.#reconcile(isKnown);
        if (!isKnown) this.timer = setTimeout(() => this.#arrange(), SETTLE_MS);
    }

    /** Whether the layout keeps room for so many labels. */
    hasRoom(labels) {
        return linesOf(labels) <= this.places.lines;
    }

    relabel(labels) {
        this.labels = labels;
        this.traffic.locks = labels.has("mtls");
        this.traffic.moved = true;
        if (this.graph) this.show(this.graph);
    }

    arrangeAnew() {
        if (!this.graph) return;
        this.places.forget();
        this.refit();
        this.show(this.graph);
    }

    /** Of so many edges only what is wrong is told one by one. */
    get isCrowded() {
        return this.graph?.edges.size > MANY_EDGES;
    }

    /** The edges that are elements of the picture; in a crowd those in trouble, and the one that is chosen. */
    #told() {
        const { edges } = this.graph;
        if (!this.isCrowded) return edges;
        const worst = [...edges.values()].filter(isTelling).sort((a, b) => b.errors - a.errors).slice(0, MOST_TOLD);
        const chosen = edges.get(this.chosen);
        return new Map([...worst, ...(chosen ? [chosen] : [])].map((edge) => [edge.id, edge]));
    }

    /** Makes the picture's elements equal to the graph. */
    #reconcile(isKnown) {
        const { cy, graph, looks } = this;
        const told = this.#told();
        const wanted = this.#wanted(told);
        const fresh = [];
        let isAnother = false;
        cy.batch(() => {
            for (const [id, key] of looks) {
                if (wanted.has(id)) continue;
                cy.getElementById(id).remove();
                looks.delete(id);
                this.marked.delete(id);
                isAnother ||= !key.startsWith("edge");
            }
            for (const [id, [group, look]] of wanted) {
                const key = `${group}\n${lookKey(look)}`;
                if (looks.get(id) === key) continue;
                if (!looks.has(id)) fresh.push({ group, data: look, position: { ...this.places.nodes[id] } });
                else isAnother = this.#change(cy.getElementById(id), look) || isAnother;
                looks.set(id, key);
            }
        });
        const added = cy.add(fresh);
        if (fresh.length) this.mark(this.marks);
        this.traffic.isCrowded = this.isCrowded;
        cy.renderer().textureOnViewport = told.size > RICH_EDGES || graph.nodes.size > RICH_EDGES; // panning stays smooth
        this.crowd.show(this.isCrowded ? new Map([...graph.edges].filter(([id]) => !told.has(id))) : new Map());
        if (!isKnown) return;
        if (isAnother || added.nodes().nonempty() || (added.nonempty() && !this.isCrowded)) this.#apply(false);
        else cy.batch(() => this.#route(added));
    }

    /** By id: group and look of every element that there is to be. */
    #wanted(told) {
        const { inside, boxes, nodes } = this.graph;
        const onBox = (id) => boxes.get(inside.get(id))?.kind === "namespace";
        const wanted = new Map();
        for (const { id, label, kind, parent } of boxes.values()) wanted.set(id, ["nodes", { id, label, box: kind, parent, crowded: this.isCrowded }]);
        for (const node of nodes.values()) wanted.set(node.id, ["nodes", nodeLook(node, inside.get(node.id) || null, onBox(node.id))]);
        for (const edge of told.values()) {
            const isInside = Boolean(inside.get(edge.source) && inside.get(edge.target));
            wanted.set(edge.id, ["edges", edgeLook(edge, this.labels, this.places.routes[edge.id]?.label, isInside)]);
        }
        return wanted;
    }

    /** Gives an element another look; true where it stands in another box now. */
    #change(element, look) {
        const isMoved = element.isNode() && (element.data("parent") || null) !== (look.parent || null);
        if (isMoved) element.move({ parent: look.parent || null });
        element.data(look);
        return isMoved;
    }

    #overCrowd({ position, renderedPosition }) {
        const id = this.crowd.at(position);
        this.container.style.cursor = id ? "pointer" : "";
        if (id) this.tip.show(id, renderedPosition);
        else this.tip.hide();
    }

    async #arrange() {
        const { cy } = this;
        const places = this.places;
        const fresh = Object.keys(places.nodes).length === 0;
        await places.arrange(this.graph, { aspect: Math.max(0.6, (cy.width() - 40) / Math.max(200, cy.height() - 150)) });
        if (this.places !== places || cy.destroyed()) return;
        if (!places.knows(this.graph)) this.#arrange(); // it grew meanwhile
        else if (this.isCrowded) this.show(this.graph);
        this.#apply(!fresh);
    }

    #apply(animated) {
        const { cy, places } = this;
        const smooth = animated && !this.isCrowded && !this.traffic.reduced.matches;
        cy.nodes("[kind]").forEach((node) => {
            const place = places.nodes[node.id()];
            if (!place) return;
            if (smooth) node.animate({ position: { x: place.x, y: place.y } }, { duration: 260, complete: () => this.#route(node.connectedEdges()) });
            else node.position({ x: place.x, y: place.y });
        });
        if (!smooth) cy.batch(() => this.#route(cy.edges()));
        if (smooth) setTimeout(() => !cy.destroyed() && this.#settle(), 280);
        else this.#settle();
        this.container.classList.remove("arranging");
        this.placed();
    }

    /** Everything stands where it is to be: boxes take the room they need, and all of it is looked at. */
    #settle() {
        // From the inside out; in a crowd no edge is led round anything.
        const boxes = this.isCrowded ? [] : this.cy.nodes("[box]").sort((a, b) => b.ancestors().length - a.ancestors().length);
        for (const box of boxes) {
            const inside = box.descendants();
            enclose(box, inside.edgesWith(inside).map((edge) => this.places.routes[edge.id()]).filter(Boolean));
        }
        if (!this.touched) this.fit();
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
        if (this.chosen !== id) {
            this.chosen = id;
            this.crowd.stress(id);
            if (this.isCrowded && this.looks.size) this.#reconcile(true);
        }
        const wanted = id ? this.cy.getElementById(id) : this.cy.collection();
        this.cy.elements(":selected").not(wanted).unselect();
        wanted.not(":selected").select();
    }

    /** Classes from find, hide and what is lit (null: everything); hidden nodes take their edges with them. */
    mark({ found, hidden, lit }) {
        const { cy, marked, graph } = this;
        this.marks = { found, hidden, lit };
        this.crowd.mark(this.marks);
        const filled = this.#filledBoxes(hidden);
        cy.batch(() => {
            for (const id of this.looks.keys()) {
                const isBox = graph.boxes.has(id);
                const classes = { found: found.has(id), hidden: isBox ? !filled.has(id) : hidden.has(id), faded: !isBox && Boolean(lit) && !lit.has(id) };
                const key = Object.values(classes).join();
                if ((marked.get(id) || UNMARKED) === key) continue;
                marked.set(id, key);
                const element = cy.getElementById(id);
                for (const [name, on] of Object.entries(classes)) element.toggleClass(name, on);
            }
        });
    }

    /** The boxes in which something is not hidden. */
    #filledBoxes(hidden) {
        const { inside, boxes, nodes } = this.graph;
        const filled = new Set();
        for (const id of nodes.keys()) {
            for (let box = hidden.has(id) ? null : inside.get(id); box && !filled.has(box); box = boxes.get(box)?.parent) filled.add(box);
        }
        return filled;
    }

    fit() {
        const { cy } = this;
        const visible = cy.elements().not(".hidden");
        if (visible.empty()) return;
        const bounds = this.isCrowded ? around(visible.nodes("[kind]")) : visible.boundingBox();
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
            this.moved([x1 + w / 2, y1 + h / 2, this.cy.zoom()].map((value) => Number(value.toFixed(5))).join());
        }, SETTLE_MS);
    }

    /** The whole picture as a PNG. */
    async picture(scale) {
        const { x1, y1 } = this.cy.elements().boundingBox();
        const elements = await createImageBitmap(await this.cy.png({ full: true, scale, output: "blob-promise" }));
        const canvas = new OffscreenCanvas(elements.width, elements.height);
        const context = canvas.getContext("2d");
        context.fillStyle = this.theme.canvas;
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.setTransform(scale, 0, 0, scale, -x1 * scale, -y1 * scale);
        if (this.isCrowded) this.crowd.paint(context, this.theme);
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.drawImage(elements, 0, 0);
        return canvas.convertToBlob();
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

const UNMARKED = "false,false,false";

const isTelling = ({ presence, health, verdict }) => (verdict ? verdict !== "same" : presence === "live" && (health === "failure" || health === "degraded"));
