// Where a picture's parts lie: the rectangle round many nodes, an edge's way as cytoscape takes it, and a box's room.

/** So far from a route a box has its border, where no node needs more. */
const MARGIN = 14;

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

/** Gives a box room for the `routes` between its nodes, too: by itself cytoscape counts nodes only. */
export function enclose(box, routes) {
    const points = routes.flatMap(({ start, bends, end }) => [start, ...bends, end]);
    const { x1, x2, y1, y2 } = box.children().boundingBox({ includeOverlays: false });
    const padding = box.padding();
    const beyond = (lack) => Math.max(0, lack + MARGIN - padding);
    const [left, right, top, bottom] = [
        beyond(x1 - Math.min(...points.map(({ x }) => x))), beyond(Math.max(...points.map(({ x }) => x)) - x2),
        beyond(y1 - Math.min(...points.map(({ y }) => y))), beyond(Math.max(...points.map(({ y }) => y)) - y2),
    ];
    box.style({
        "min-width": left || right ? x2 - x1 + left + right : 0, "min-width-bias-left": left, "min-width-bias-right": right,
        "min-height": top || bottom ? y2 - y1 + top + bottom : 0, "min-height-bias-top": top, "min-height-bias-bottom": bottom,
    });
}
