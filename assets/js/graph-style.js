// How nodes and edges look. Calm by default, loud on trouble: healthy edges are slate.

import { KINDS } from "./badges.js";
import { lines } from "./layout.js";

const TOKENS = {
    text: "--text", text2: "--text-2", text3: "--text-3", line2: "--line-2", node: "--node", canvas: "--canvas",
    accent: "--accent", button: "--button", ok: "--ok-graphic", warn: "--warn-graphic", error: "--error-graphic",
    warnText: "--warn", errorText: "--error", idle: "--idle", edge: "--edge", tcp: "--tcp", find: "--find", surface: "--surface", box: "--box",
};

export function tokens() {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(Object.entries(TOKENS).map(([name, property]) => [name, style.getPropertyValue(property).trim()]));
}

/** Resolves when the style sheets have arrived: a canvas cannot restyle itself when they come late. */
export async function styled() {
    while (Object.values(tokens()).includes("") || !iconMarkup("box", "#000")) {
        await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
}

/** The Lucide icon as markup in a colour; the style sheet holds it as a mask. */
export function iconMarkup(name, color) {
    const value = getComputedStyle(document.documentElement).getPropertyValue(`--icon-${name}`);
    const match = value.match(/url\("data:image\/svg\+xml,(.*)"\)/s);
    return match ? decodeURIComponent(match[1]).replaceAll("currentColor", color) : "";
}

const uri = (markup) => `data:image/svg+xml;utf8,${encodeURIComponent(markup)}`;

/** Of a box without a picture cytoscape 3.34 takes the picture for late, and restyles it, with all in it, at each drawing. */
const BLANK = uri("<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>");

const cache = new Map();
function remembered(key, make) {
    if (!cache.has(key)) cache.set(key, make());
    return cache.get(key);
}

function iconImage(name, color) {
    return remembered(`${name} ${color}`, () => uri(iconMarkup(name, color)));
}

function badgeImage(name, fill, color, ring) {
    return remembered(`badge ${name} ${fill} ${ring}`, () => {
        const glyph = iconMarkup(name, color).replace(/width='24' height='24'/, "x='7' y='7' width='22' height='22'");
        return uri(`<svg xmlns='http://www.w3.org/2000/svg' width='36' height='36' viewBox='0 0 36 36'><circle cx='18' cy='18' r='16' fill='${fill}' stroke='${ring}' stroke-width='3'/>${glyph}</svg>`);
    });
}

/** What is behind a node or an edge. */
const ground = (element, theme) => (element.data("onBox") ? theme.box : theme.canvas);

/** The pictures on a node, each property of theirs in a list. */
function pictures(node, theme) {
    const { health, kind, badges, onBox } = node.data();
    return remembered(`pictures ${health} ${kind} ${badges} ${onBox} ${theme.node} ${theme.button}`, () => {
        const list = images(node, theme);
        const of = (name) => list.map((one) => one[name]);
        return { image: of("image"), size: of("size"), x: of("x"), y: of("y"), dx: of("dx"), dy: of("dy"), clip: list.map(() => "none"), containment: list.map(() => "over") };
    });
}

/** The icon in the middle, then what the config does to it (top right) and trouble (top left). */
function images(node, theme) {
    const health = node.data("health");
    const list = [{ image: iconImage(KINDS[node.data("kind")]?.icon || "box", theme.text2), size: 24, x: "50%", y: "50%", dx: 0, dy: 0 }];
    if (health === "failure" || health === "degraded" || health === "not_ready") {
        const color = health === "failure" ? theme.error : theme.warn;
        list.push({ image: badgeImage("triangle-alert", color, "#fff", ground(node, theme)), size: 21, x: "0%", y: "0%", dx: -9, dy: -9 });
    }
    node.data("badges").forEach((icon, index) => {
        list.push({ image: badgeImage(icon, theme.button, "#fff", ground(node, theme)), size: 21, x: "100%", y: "0%", dx: 9 - index * 20, dy: -9 });
    });
    return list;
}

const healthColor = (theme, health) => ({ failure: theme.error, degraded: theme.warn, not_ready: theme.warn, healthy: theme.ok })[health] || theme.idle;

/** What nobody declared has a colour of its own, unless it is in trouble. */
const undeclaredColor = (theme, node, own) => (["failure", "degraded"].includes(node.data("health")) ? healthColor(theme, node.data("health")) : own);

const VERDICT_COLORS = { failing: "error", slower: "warn", gone: "idle", added: "ok", recovered: "ok", faster: "ok", less_traffic: "text3", more_traffic: "text3", same: "line2" };

function edgeColor(theme, edge) {
    if (edge.data("verdict")) return theme[VERDICT_COLORS[edge.data("verdict")]];
    const health = edge.data("health");
    if (edge.data("presence") !== "live") return theme.idle;
    if (health === "failure") return theme.error;
    if (health === "degraded") return theme.warn;
    return edge.data("protocol") === "tcp" ? theme.tcp : theme.edge;
}

const isBad = (edge) => edge.data("presence") === "live" && ["failure", "degraded"].includes(edge.data("health"));

function labelColor(theme, edge) {
    if (edge.data("verdict")) return { failing: theme.errorText, slower: theme.warnText }[edge.data("verdict")] || theme.text2;
    if (!isBad(edge)) return theme.text2;
    return edge.data("health") === "failure" ? theme.errorText : theme.warnText;
}

const label = (node) => lines(node.data()).join("\n");

export function stylesheet(theme) {
    const font = { "font-family": "Inter Variable, system-ui, sans-serif" };
    return [
        {
            selector: "node[kind]",
            style: {
                ...font,
                shape: "round-rectangle", "corner-radius": 13, width: 52, height: 52,
                "background-color": theme.node, "border-width": 2, "border-color": (node) => healthColor(theme, node.data("health")),
                "background-image": (node) => pictures(node, theme).image,
                "background-width": (node) => pictures(node, theme).size,
                "background-height": (node) => pictures(node, theme).size,
                "background-position-x": (node) => pictures(node, theme).x,
                "background-position-y": (node) => pictures(node, theme).y,
                "background-offset-x": (node) => pictures(node, theme).dx,
                "background-offset-y": (node) => pictures(node, theme).dy,
                "background-clip": (node) => pictures(node, theme).clip,
                "background-image-containment": (node) => pictures(node, theme).containment,
                "bounds-expansion": 10,
                label, "text-wrap": "wrap", "line-height": 1.18, "font-size": 16.5, "font-weight": 600, color: theme.text,
                "text-valign": "bottom", "text-margin-y": 6, "min-zoomed-font-size": 5,
                "text-background-color": (node) => ground(node, theme), "text-background-opacity": 0.85, "text-background-padding": 2, "text-background-shape": "round-rectangle",
            },
        },
        { selector: 'node[kind="database"]', style: { shape: "barrel", width: 50 } },
        { selector: 'node[kind="gateway"]', style: { shape: "cut-rectangle" } },
        { selector: 'node[kind="external"], node[kind="passthrough"], node[kind="unknown"], node[kind="probe"], node[kind="scraper"], node[kind="outside"]', style: { shape: "ellipse", "border-style": "dashed" } },
        { selector: 'node[kind="passthrough"]', style: { "border-color": (node) => undeclaredColor(theme, node, theme.warn), "background-color": theme.canvas } },
        {
            selector: 'node[kind="blackhole"]',
            style: { shape: "octagon", "border-style": "double", "border-width": 4, "border-color": (node) => undeclaredColor(theme, node, theme.text2), "background-color": theme.line2 },
        },
        { selector: 'node[kind="service"]', style: { shape: "round-hexagon", width: 58 } },
        { selector: 'node[kind="operation"]', style: { shape: "hexagon", width: 46, height: 40 } },
        {
            selector: 'node[health="failure"]',
            style: { "underlay-color": theme.error, "underlay-opacity": 0.15, "underlay-padding": 7, "underlay-shape": "round-rectangle", "underlay-corner-radius": 19 },
        },
        { selector: 'node[health="idle"]', style: { "border-style": "dashed" } },
        {
            selector: "node[box]",
            style: {
                ...font,
                shape: "round-rectangle", "corner-radius": 18, padding: 20,
                "background-color": theme.box, "border-width": 1, "border-color": theme.line2,
                "background-image": BLANK, "background-image-containment": "over", "background-width": 1, "background-height": 1,
                label: "data(label)", "font-size": 13.5, "font-weight": 700, color: theme.text3,
                "text-valign": "top", "text-halign": "center", "text-margin-y": -6, "text-transform": "uppercase",
            },
        },
        {
            selector: "edge",
            style: {
                ...font,
                width: "data(width)",
                "line-color": (edge) => edgeColor(theme, edge), "target-arrow-color": (edge) => edgeColor(theme, edge),
                "line-opacity": (edge) => (isBad(edge) ? 0.95 : 0.75),
                "line-style": (edge) => (edge.data("presence") !== "live" ? "dotted" : edge.data("protocol") === "tcp" ? "dashed" : "solid"),
                "line-dash-pattern": [6, 4],
                "curve-style": "bezier", "control-point-step-size": 46, "target-arrow-shape": "triangle", "arrow-scale": 0.85,
                "source-label": "data(text)", "source-text-offset": (edge) => edge.data("labelAt") || 60,
                "font-size": 15, "font-weight": 600, color: (edge) => labelColor(theme, edge), "text-wrap": "wrap", "line-height": 1.15,
                "text-background-color": (edge) => ground(edge, theme), "text-background-opacity": 1, "text-background-padding": 2, "text-background-shape": "round-rectangle",
                "min-zoomed-font-size": 5.5,
            },
        },
        { selector: 'node[box="cluster"]', style: { "border-style": "dashed", "background-opacity": 0.35, padding: 24 } },
        { selector: 'node[box="app"]', style: { "corner-radius": 14, padding: 14, "font-size": 12, "text-transform": "none", "background-color": theme.canvas } },
        { selector: 'node[kind="group"]', style: { width: 60, height: 52, "corner-radius": 16, "border-style": "double", "border-width": 5, "background-color": theme.box } },
        { selector: "node[box][?crowded]", style: { "background-opacity": 0 } },
        { selector: 'node[box][?crowded][box != "app"]', style: { "text-opacity": 0 } }, // the crowd's canvas writes it
        { selector: 'edge[verdict="gone"]', style: { "line-style": "dashed", width: 2.4, "line-opacity": 1 } },
        { selector: 'edge[verdict="same"]', style: { width: 1.3 } },
        { selector: 'node[verdict="gone"]', style: { "border-style": "dashed", "border-color": theme.idle, "background-opacity": 0.4 } },
        { selector: 'node[verdict="added"]', style: { "border-color": theme.ok, "underlay-color": theme.ok, "underlay-opacity": 0.18, "underlay-padding": 7 } },
        { selector: "edge:loop", style: { "loop-direction": "-45deg", "loop-sweep": "40deg" } },
        { selector: ".dim, .faded", style: { opacity: 0.15 } },
        { selector: ".hidden", style: { display: "none" } },
        { selector: "node.found", style: { "overlay-color": theme.find, "overlay-opacity": 0.24, "overlay-padding": 7, "overlay-shape": "round-rectangle" } },
        { selector: "edge.found", style: { "overlay-color": theme.find, "overlay-opacity": 0.3, "overlay-padding": 5 } },
        {
            selector: "node[kind]:selected",
            style: { "border-color": theme.accent, "border-width": 3, "underlay-color": theme.accent, "underlay-opacity": 0.22, "underlay-padding": 7, "underlay-shape": "round-rectangle", "underlay-corner-radius": 19 },
        },
        { selector: "edge:selected", style: { "line-opacity": 1, "overlay-color": theme.accent, "overlay-opacity": 0.16, "overlay-padding": 5 } },
        { selector: 'node[kind="external"], node[kind="passthrough"], node[kind="blackhole"], node[kind="unknown"], node[kind="probe"], node[kind="scraper"], node[kind="outside"]', style: { "underlay-shape": "ellipse" } },
    ];
}
