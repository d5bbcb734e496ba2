// Clusters, namespaces and apps as boxes in each other; a box that is shut stands for everything in it.

export const BOX_KINDS = { cluster: "Clusters", namespace: "Namespaces", app: "Apps" };
const GAPS = { failure: 0, degraded: 1, not_ready: 2, healthy: 3, idle: 4 };
const OUTSIDE = new Set(["external", "passthrough", "blackhole", "unknown", "probe", "scraper", "outside"]);

/** The boxes that a node may stand in, from the outside in: what lies outside the mesh stands outside them, too. */
function around(node) {
    if (!node.parent || OUTSIDE.has(node.kind)) return [];
    const { cluster, namespace, app } = node;
    const boxes = [
        { id: `cluster:${cluster}`, kind: "cluster", label: cluster },
        { id: node.parent, kind: "namespace", label: namespace },
    ];
    return app ? [...boxes, { id: `box:${cluster}/${namespace}/${app}`, kind: "app", label: app }] : boxes;
}

/** What is drawn: `boxes` by id, and `inside`, the innermost box of each node. One cluster needs no box, nor one node. */
export function boxed(nodes, wanted) {
    const members = new Map();
    const clusters = new Set();
    const of = new Map();
    for (const node of nodes.values()) {
        const found = around(node);
        if (found.length) clusters.add(node.cluster);
        of.set(node.id, found);
        for (const box of found) members.set(box.id, (members.get(box.id) || 0) + (node.members || 1));
    }
    const drawn = ({ id, kind }) => wanted.has(kind) && (kind === "namespace" || (kind === "cluster" ? clusters.size > 1 : members.get(id) > 1));
    const boxes = new Map();
    const inside = new Map();
    for (const [node, found] of of) {
        let parent = null;
        for (const box of found.filter(drawn)) {
            if (box.id === nodes.get(node).stands) break; // the box is what this node stands for
            if (!boxes.has(box.id)) boxes.set(box.id, { ...box, parent });
            parent = box.id;
        }
        inside.set(node, parent);
    }
    return { boxes, inside };
}

/** The ids of all namespaces' boxes. */
export function namespaces(nodes) {
    return new Set([...nodes.values()].flatMap(around).filter((box) => box.kind === "namespace").map((box) => box.id));
}

/**
 * The graph with one node for each box in `shut`, without what is `hidden` in it; `stand` tells which element stands
 * for a node or an edge that is not there itself. `latency(id)` gives the quantiles of several edges' requests.
 */
export function condensed(graph, shut, hidden, latency) {
    if (!shut.size) return { nodes: graph.nodes, edges: graph.edges, stand: new Map() };
    const nodes = new Map();
    const edges = new Map();
    const stand = new Map();
    for (const node of graph.nodes.values()) {
        const box = around(node).find(({ id }) => shut.has(id));
        if (!box) nodes.set(node.id, node);
        else {
            stand.set(node.id, `shut:${box.id}`);
            if (!hidden.has(node.id)) join(nodes, box, node);
        }
    }
    const at = (id) => stand.get(id) || id;
    for (const edge of graph.edges.values()) {
        const [source, target] = [at(edge.source), at(edge.target)];
        if (source === edge.source && target === edge.target) edges.set(edge.id, edge);
        else if (source !== target) {
            const id = `${source}>${target}>${edge.protocol}`;
            stand.set(edge.id, id);
            if (!hidden.has(edge.id) && nodes.has(source) && nodes.has(target)) sum(edges, { id, source, target, via: target === edge.target ? source : target }, edge);
        }
    }
    for (const [id, edge] of edges) if (edge.members) Object.assign(edge, latency(id));
    return { nodes, edges, stand };
}

function join(nodes, box, node) {
    const id = `shut:${box.id}`;
    const known = nodes.get(id);
    const { cluster, namespace, parent } = node;
    if (!known) {
        const empty = { in: null, out: null, version: "", badges: [], replicas: null, hosts: [], labels: {}, principals: [], app: "", workload: "", service: "" };
        nodes.set(id, { ...empty, id, stands: box.id, kind: "group", label: box.label, cluster, namespace, parent, health: node.health, members: 1 });
        return;
    }
    known.members += 1;
    known.health = worse(known.health, node.health);
}

function sum(edges, ends, edge) {
    const known = edges.get(ends.id);
    if (!known) {
        edges.set(ends.id, { ...edge, ...ends, p50: null, p95: null, p99: null, members: 1 });
        return;
    }
    known.members += 1;
    known.mtls = protectedShare(known, edge);
    for (const count of ["rate", "requests", "errors", "sent", "received"]) known[count] += edge[count] || 0;
    known.errorRatio = known.requests ? known.errors / known.requests : 0;
    known.health = worse(known.health, edge.health);
    if (edge.presence === "live") known.presence = "live";
}

const traffic = ({ requests, sent, received }) => requests || (sent || 0) + (received || 0);

/** How much of two edges' traffic is over mutual TLS; null where that of some of it is not known. */
function protectedShare(one, other) {
    const [some, more] = [traffic(one), traffic(other)];
    if (!some || !more) return (some ? one : other).mtls;
    return one.mtls === null || other.mtls === null ? null : (some * one.mtls + more * other.mtls) / (some + more);
}

const worse = (some, other) => (GAPS[other] < GAPS[some] ? other : some);
