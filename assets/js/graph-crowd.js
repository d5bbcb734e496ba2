// The calm edges of a large graph: thousands of thin lines on one canvas below the nodes. As elements of the picture
// they would cost seconds; here they cost milliseconds. Lines of one look are drawn with one stroke.

const NEAR_PX = 5;
/** How large the names of boxes are, in the picture's units, and at least on the screen. */
const USUAL_NAME = 13.5;
const LEAST_NAME_PX = 11.5;
const LOOKS = {
    calm: { color: "edge", opacity: 0.22, width: 1 },
    error: { color: "error", opacity: 0.8, width: 1.6 },
    warn: { color: "warn", opacity: 0.8, width: 1.6 },
    idle: { color: "idle", opacity: 0.2, width: 1, dash: [2, 4] },
    near: { color: "accent", opacity: 0.85, width: 1.6 },
    found: { color: "find", opacity: 0.9, width: 2.4 },
    faded: { color: "edge", opacity: 0.05, width: 1 },
};

export class Crowd {
    /** `places()` gives the positions of nodes by id; `boxes()` the rectangles and names of boxes; both in the picture's units. */
    constructor(canvas, cy, places, boxes) {
        Object.assign(this, { canvas, cy, places, boxes, context: canvas.getContext("2d"), edges: new Map(), near: null });
        this.marks = { found: new Set(), hidden: new Set(), lit: null };
        cy.on("viewport resize position", () => this.redraw());
    }

    /** Shows edges (by id), or none. */
    show(edges) {
        if (!edges.size && !this.edges.size) return;
        this.edges = edges;
        this.redraw();
    }

    /** What is found, hidden and lit (null: everything). */
    mark(marks) {
        this.marks = marks;
        this.redraw();
    }

    /** Lets the edges of one node stand out; null: of none. */
    stress(node) {
        if (this.near === node) return;
        this.near = node;
        this.redraw();
    }

    redraw() {
        if (!this.edges.size && !this.isDrawn) return;
        this.frame ||= requestAnimationFrame(() => {
            this.frame = 0;
            if (!this.cy.destroyed()) this.#draw();
        });
    }

    /** The edge at a place of the picture, or null. */
    at({ x, y }) {
        const reach = NEAR_PX / this.cy.zoom();
        const places = this.places();
        let best = { distance: reach, id: null };
        for (const edge of this.edges.values()) {
            const [from, to] = [places[edge.source], places[edge.target]];
            if (!from || !to || this.marks.hidden.has(edge.id)) continue;
            const distance = away({ x, y }, from, to, best.distance);
            if (distance < best.distance) best = { distance, id: edge.id };
        }
        return best.id;
    }

    /** Paints everything onto a canvas of its own or another's, whose units are the picture's. */
    paint(context, theme) {
        for (const { x1, y1, w, h } of this.boxes()) {
            context.fillStyle = theme.box;
            context.beginPath();
            context.roundRect(x1, y1, w, h, 18);
            context.fill();
        }
        const places = this.places();
        const lines = Object.fromEntries(Object.keys(LOOKS).map((look) => [look, new Path2D()]));
        for (const edge of this.edges.values()) {
            const [from, to] = [places[edge.source], places[edge.target]];
            if (!from || !to || this.marks.hidden.has(edge.id)) continue;
            const line = lines[this.#look(edge)];
            line.moveTo(from.x, from.y);
            line.lineTo(to.x, to.y);
        }
        const zoom = context.getTransform().a;
        for (const [look, { color, opacity, width, dash = [] }] of Object.entries(LOOKS)) {
            context.globalAlpha = opacity;
            context.strokeStyle = theme[color];
            context.lineWidth = Math.max(width, 0.7 / zoom);
            context.setLineDash(dash);
            context.stroke(lines[look]);
        }
        context.globalAlpha = 1;
        this.#name(context, theme, zoom);
    }

    /** Writes what the boxes are called, however small the picture: without names a crowd tells nothing. */
    #name(context, theme, zoom) {
        const size = Math.max(USUAL_NAME, (LEAST_NAME_PX * (devicePixelRatio || 1)) / zoom);
        context.font = `700 ${size}px Inter Variable, system-ui, sans-serif`;
        context.textAlign = "center";
        context.setLineDash([]);
        Object.assign(context, { fillStyle: theme.text2, strokeStyle: theme.canvas, lineWidth: size / 3, lineJoin: "round" });
        for (const { x1, y1, w, name } of this.boxes()) {
            if (!name) continue;
            context.strokeText(name, x1 + w / 2, y1 - 6);
            context.fillText(name, x1 + w / 2, y1 - 6);
        }
    }

    #look(edge) {
        const { found, lit } = this.marks;
        if (lit && !lit.has(edge.id)) return "faded";
        if (found.has(edge.id)) return "found";
        if (edge.source === this.near || edge.target === this.near) return "near";
        if (edge.presence !== "live") return "idle";
        return { failure: "error", degraded: "warn" }[edge.health] || "calm";
    }

    #draw() {
        const { canvas, context, cy } = this;
        const ratio = devicePixelRatio || 1;
        const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
        if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.clearRect(0, 0, width, height);
        this.isDrawn = this.edges.size > 0;
        if (!this.isDrawn) return;
        const { x, y } = cy.pan();
        const zoom = cy.zoom() * ratio;
        context.setTransform(zoom, 0, 0, zoom, x * ratio, y * ratio);
        this.paint(context, this.theme);
    }
}

/** How far a point is from a line between two, or Infinity where it is further than `reach` from the rectangle round it. */
function away({ x, y }, from, to, reach) {
    if (x < Math.min(from.x, to.x) - reach || x > Math.max(from.x, to.x) + reach) return Infinity;
    if (y < Math.min(from.y, to.y) - reach || y > Math.max(from.y, to.y) + reach) return Infinity;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const share = Math.max(0, Math.min(1, ((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(from.x + share * dx - x, from.y + share * dy - y);
}
