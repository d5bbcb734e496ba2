// Requests on their way, on a canvas above the graph. Shape as well as colour tells what happened:
// dots succeeded, diamonds failed, squares are TCP. Speed and density follow the logarithm of the rate.

const FRAME_MS = 32;
const MAX_SPRITES = 1500;
const SLOW_FRAME_MS = 4;
const MIN_ZOOM = 0.28;
const LOCK_MIN_ZOOM = 0.42;
/** Past a badge at the node's corner. */
const LOCK_AT = 16;
const LOCK_RADIUS = 6;
const FONT = "600 15px Inter Variable, system-ui, sans-serif"; // as graph-style.js writes labels
const LINE = 17.5;

export class Traffic {
    /** `find(id)` gives an edge's numbers. */
    constructor(canvas, cy, theme, find) {
        this.find = find;
        this.canvas = canvas;
        this.context = canvas.getContext("2d");
        this.cy = cy;
        this.paths = new Map();
        this.widths = new Map();
        this.running = true;
        this.locks = true;
        this.isCrowded = false;
        this.limit = MAX_SPRITES;
        this.costs = [];
        this.last = 0;
        this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
        this.setTheme(theme);
        cy.on("position add remove style", () => this.paths.clear());
        cy.on("viewport resize", () => { this.moved = true; });
        this.frame = requestAnimationFrame((now) => this.#loop(now));
    }

    stop() {
        cancelAnimationFrame(this.frame);
    }

    get animated() {
        return this.running && !this.reduced.matches;
    }

    setTheme(theme) {
        const ratio = devicePixelRatio || 1;
        const draw = (color, shape) => {
            const sprite = document.createElement("canvas");
            sprite.width = sprite.height = 14 * ratio;
            const context = sprite.getContext("2d");
            context.scale(ratio, ratio);
            context.fillStyle = context.shadowColor = color;
            context.shadowBlur = 4;
            context.beginPath();
            shape(context);
            context.fill();
            return sprite;
        };
        const round = (context) => context.arc(7, 7, 2.9, 0, 7);
        this.sprites = {
            ok: draw(theme.ok, round),
            warn: draw(theme.warn, round),
            tcp: draw(theme.tcp, (context) => context.rect(4.6, 4.6, 4.8, 4.8)),
            error: draw(theme.error, (context) => {
                context.moveTo(7, 2.4);
                context.lineTo(11.6, 7);
                context.lineTo(7, 11.6);
                context.lineTo(2.4, 7);
            }),
        };
        this.lockColors = { fill: theme.canvas, stroke: theme.text3 };
        this.moved = true;
    }

    #loop(now) {
        this.frame = requestAnimationFrame((next) => this.#loop(next));
        if (document.hidden || now - this.last < FRAME_MS) return;
        if (!this.animated && !this.moved && now - this.last < 1000) return;
        this.last = now;
        this.moved = false;
        const started = performance.now();
        this.#draw(now);
        this.#adapt(performance.now() - started);
    }

    #adapt(cost) {
        this.costs.push(cost);
        if (this.costs.length < 60) return;
        const median = this.costs.sort((a, b) => a - b)[30];
        this.costs = [];
        if (median > SLOW_FRAME_MS) this.limit = Math.max(200, Math.floor(this.limit * 0.7));
        else if (median < SLOW_FRAME_MS / 2) this.limit = Math.min(MAX_SPRITES, Math.ceil(this.limit * 1.2));
    }

    #draw(now) {
        const { canvas, context, cy } = this;
        const ratio = devicePixelRatio || 1;
        const width = canvas.clientWidth;
        const height = canvas.clientHeight;
        if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
            canvas.width = Math.round(width * ratio);
            canvas.height = Math.round(height * ratio);
        }
        const view = { zoom: cy.zoom(), pan: cy.pan(), width, height };
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, width, height);
        this.drawn = 0;
        if (view.zoom < MIN_ZOOM || this.isCrowded) return;
        for (const edge of cy.edges().toArray()) {
            if (edge.hasClass("hidden") || edge.hasClass("dim") || edge.hasClass("faded") || !edge.visible()) continue;
            const data = { ...edge.data(), ...this.find(edge.id()) };
            const path = this.#path(edge);
            if (!onScreen(path, view)) continue;
            if (this.locks && data.mtls >= 0.999 && view.zoom >= LOCK_MIN_ZOOM) this.#lock(path, this.#label(data, path), view);
            if (this.animated && data.presence === "live" && (data.rate || data.sent || data.received)) this.#flow(data, path, view, now);
        }
        context.globalAlpha = 1;
    }

    #path(edge) {
        let path = this.paths.get(edge.id());
        if (!path) {
            path = measure(polyline(edge));
            path.phase = Math.random();
            this.paths.set(edge.id(), path);
        }
        return path;
    }

    #flow(data, path, view, now) {
        const intensity = Math.log2(1 + (data.rate || (data.sent + data.received) / 2000));
        const count = Math.max(1, Math.min(7, Math.floor((intensity * path.length) / 340)));
        const speed = (38 + 14 * intensity) / path.length / 1000;
        const everyFailed = data.errorRatio >= 0.005 ? Math.max(1, Math.round(1 / data.errorRatio)) : 0;
        const plain = data.protocol === "tcp" ? "tcp" : data.health === "degraded" ? "warn" : "ok";
        const size = Math.max(6, Math.min(15, 13 * Math.sqrt(view.zoom)));
        const label = data.text ? { at: data.labelAt, reach: 8 + 3 * Math.max(...data.text.split("\n").map((line) => line.length)) } : null;
        for (let index = 0; index < count; index += 1) {
            if (this.drawn >= this.limit) return;
            const turn = now * speed + path.phase + index / count;
            const share = turn % 1;
            const failed = everyFailed && (Math.floor(turn) * count + index) % everyFailed === 0;
            const walked = share * path.length;
            if (label && Math.abs(walked - label.at) < label.reach) continue; // never over the numbers
            const { x, y } = at(path, walked, view);
            this.context.globalAlpha = Math.min(1, Math.min(share, 1 - share) * 8);
            this.context.drawImage(this.sprites[failed ? "error" : plain], x - size / 2, y - size / 2, size, size);
            this.drawn += 1;
        }
    }

    /** The rectangle that an edge's label covers in the picture; null without one. */
    #label({ text, labelAt = 60 }, path) {
        if (!text) return null;
        if (!this.widths.has(text)) {
            this.context.font = FONT;
            this.widths.set(text, Math.max(...text.split("\n").map((line) => this.context.measureText(line).width)));
        }
        const { x, y } = at(path, labelAt, MODEL);
        return { x, y, width: this.widths.get(text), height: LINE * text.split("\n").length };
    }

    /** A small padlock where the edge leaves its source, else where it arrives; never on its label. */
    #lock(path, label, view) {
        const place = [LOCK_AT, path.length - 2 * LOCK_AT].find((distance) => distance > LOCK_RADIUS && distance < path.length && !covers(label, at(path, distance, MODEL)));
        if (place === undefined) return;
        const { x, y } = at(path, place, view);
        const { context } = this;
        const unit = Math.min(1.15, view.zoom);
        context.globalAlpha = 1;
        context.save();
        context.translate(x, y);
        context.scale(unit, unit);
        context.fillStyle = this.lockColors.fill;
        context.beginPath();
        context.arc(0, 0, LOCK_RADIUS, 0, 7);
        context.fill();
        context.strokeStyle = context.fillStyle = this.lockColors.stroke;
        context.lineWidth = 1.4;
        context.beginPath();
        context.arc(0, -1.2, 2.3, Math.PI, 0);
        context.stroke();
        context.beginPath();
        context.roundRect(-3.6, -1.2, 7.2, 5.2, 1.2);
        context.fill();
        context.restore();
    }
}

const MODEL = { zoom: 1, pan: { x: 0, y: 0 } };

const covers = (label, { x, y }) => Boolean(label) && Math.abs(x - label.x) < label.width / 2 + LOCK_RADIUS + 2 && Math.abs(y - label.y) < label.height / 2 + LOCK_RADIUS;

function polyline(edge) {
    const start = edge.sourceEndpoint();
    const end = edge.targetEndpoint();
    const bends = edge.segmentPoints?.();
    if (bends?.length) return [start, ...bends, end];
    const control = edge.controlPoints?.()?.[0];
    if (!control) return [start, end];
    const points = [start];
    for (let step = 1; step < 12; step += 1) {
        const t = step / 12;
        const u = 1 - t;
        points.push({ x: u * u * start.x + 2 * u * t * control.x + t * t * end.x, y: u * u * start.y + 2 * u * t * control.y + t * t * end.y });
    }
    return [...points, end];
}

function measure(points) {
    const walked = [0];
    for (let index = 1; index < points.length; index += 1) {
        walked.push(walked[index - 1] + Math.hypot(points[index].x - points[index - 1].x, points[index].y - points[index - 1].y));
    }
    const xs = points.map((point) => point.x);
    const ys = points.map((point) => point.y);
    return { points, walked, length: walked.at(-1) || 1, left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

function at(path, distance, { zoom, pan }) {
    let index = 1;
    while (index < path.walked.length - 1 && path.walked[index] < distance) index += 1;
    const from = path.points[index - 1];
    const to = path.points[index];
    const share = (distance - path.walked[index - 1]) / (path.walked[index] - path.walked[index - 1] || 1);
    return { x: (from.x + (to.x - from.x) * share) * zoom + pan.x, y: (from.y + (to.y - from.y) * share) * zoom + pan.y };
}

function onScreen(path, { zoom, pan, width, height }) {
    return path.right * zoom + pan.x > 0 && path.left * zoom + pan.x < width && path.bottom * zoom + pan.y > 0 && path.top * zoom + pan.y < height;
}
