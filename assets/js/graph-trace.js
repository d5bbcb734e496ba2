// One trace's critical path on the graph: at each instant the one span that the answer waited for.

import * as format from "./format.js";
import { asked } from "./moments.js";

/** Who took how long, the longest first: `{ids, sentence}`; ids of nodes and of the edges between them. */
export async function criticalPath(id) {
    const { spans, root } = await asked(`/api/v1/traces/${encodeURIComponent(id)}/critical-path`);
    const waited = new Map();
    for (const { app, version, criticalMs } of spans) {
        const key = `${app} ${version}`.trim();
        if (criticalMs > 0) waited.set(key, (waited.get(key) || 0) + criticalMs);
    }
    const slowest = [...waited].sort(([, some], [, other]) => other - some);
    const told = slowest.slice(0, 4).map(([name, ms]) => `${name} ${format.milliseconds(ms)}`).join(", ");
    return { waited, sentence: `Critical path of ${root.name}, ${format.milliseconds(root.durationMs)}: ${told}` };
}

/** The ids of the nodes that the answer waited for, and of the edges between them. */
export function onPath({ waited }, graph) {
    const isOn = ({ app, version }) => waited.has(`${app} ${version}`.trim()) || (!version && [...waited.keys()].some((name) => name.split(" ")[0] === app));
    const nodes = new Set([...graph.nodes.values()].filter(isOn).map((node) => node.id));
    const edges = [...graph.edges.values()].filter(({ source, target }) => nodes.has(source) && nodes.has(target));
    return new Set([...nodes, ...edges.map((edge) => edge.id)]);
}
