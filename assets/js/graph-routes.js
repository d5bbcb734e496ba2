// Where a picture's parts lie: the rectangle round many nodes, and an edge's way as cytoscape takes it.

/** The rectangle round the places of many nodes, with room for their names: asking each for its own takes seconds. */
export function around(nodes) {
    const room = 60;
    const [xs, ys] = ["x", "y"].map((axis) => nodes.map((node) => node.position(axis)));
    const [x1, x2, y1, y2] = [Math.min(...xs) - room, Math.max(...xs) + room, Math.min(...ys) - room, Math.max(...ys) + room];
    return { x1, x2, y1, y2, w: x2 - x1, h: y2 - y1 };
}

/** The style of an edge that follows the layout's route between two places. */
export function routeStyle({ start, bends, end }, source, target) {
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
