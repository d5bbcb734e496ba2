// A part of the graph: one node with those around it, or everything that calls it.

function neighbours(graph, from, to) {
    const next = new Map();
    for (const edge of graph.edges.values()) {
        if (!next.has(edge[from])) next.set(edge[from], []);
        next.get(edge[from]).push(edge[to]);
    }
    return next;
}

function reached(next, start, depth) {
    const found = new Set([start]);
    let edge = [start];
    for (let step = 0; step < depth && edge.length; step += 1) {
        edge = edge.flatMap((id) => next.get(id) || []).filter((id) => !found.has(id) && found.add(id));
    }
    return found;
}

/** The node, its callers up to `up` calls away, and those that it calls up to `down` away; edges only along the way. */
export function near(graph, id, up, down) {
    const callers = reached(neighbours(graph, "target", "source"), id, up);
    const callees = reached(neighbours(graph, "source", "target"), id, down);
    const edges = new Map([...graph.edges].filter(([, { source, target }]) => (callers.has(source) && callers.has(target)) || (callees.has(source) && callees.has(target))));
    const nodes = new Map([...graph.nodes].filter(([node]) => callers.has(node) || callees.has(node)));
    return { ...graph, nodes, edges };
}

/** The ids of a node, of everybody whose requests may end at it, and of the edges between them. */
export function dependants(graph, id) {
    const nodes = reached(neighbours(graph, "target", "source"), id, Infinity);
    const edges = [...graph.edges.values()].filter(({ source, target }) => nodes.has(source) && nodes.has(target));
    return new Set([...nodes, ...edges.map((edge) => edge.id)]);
}
