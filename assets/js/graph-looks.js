// What of a node and of an edge can be seen: the picture is told only when this is different.

import { badgesOf } from "./badges.js";
import * as format from "./format.js";

const SHOWN_BADGES = 2;
const QUANTILES = ["p50", "p95", "p99"];

/** How a node looks in `parent`, a box or null; `onBox`: whether it stands on a namespace's colour. */
export function nodeLook(node, parent, onBox) {
    const { id, kind, label, version, replicas, members, health, verdict = "" } = node;
    const badges = badgesOf(node).slice(0, SHOWN_BADGES).map(({ icon }) => icon);
    return { id, kind, label, version, replicas, members, health, verdict, parent, onBox, badges };
}

export function edgeLook(edge, labels, labelAt, onBox) {
    const { id, source, target, protocol, health, presence, verdict = "" } = edge;
    const width = Math.round(10 * (1.3 + Math.min(4, Math.log2(1 + (edge.rate || 0)) / 2.3))) / 10;
    return { id, source, target, protocol, health, presence, verdict, width, text: edge.text ?? edgeText(edge, labels), labelAt, onBox };
}

/** Equal for what looks the same. */
export const lookKey = (look) => Object.values(look).join("\n");

/** How many lines an edge's label has at most. */
export const linesOf = (labels) => ["rate", "errors", ...QUANTILES].filter((name) => labels.has(name)).length;

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
        const quantiles = QUANTILES.filter((name) => labels.has(name));
        for (const name of quantiles.filter((one) => edge[one] !== null)) {
            lines.push(`${quantiles.length > 1 ? `${name} ` : ""}${format.milliseconds(edge[name])}`);
        }
    }
    return lines.join("\n");
}
