// The graph as a file: what the server writes, and the picture as it is seen.

import { parse } from "./find.js";
import { shownNamespaces } from "./graph-search.js";

const FORMATS = { json: "json", csv: "csv", dot: "dot", graphml: "graphml", mermaid: "mmd", svg: "svg" };
const SCALE = 2;

function save(href, name) {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
}

/** Saves what a state shows of a graph, with what it finds marked; PNG is what `view` shows. */
export async function exported(format, state, graph, view) {
    const { type, window, at } = state;
    const name = `meshscope-${type}-${new Date(at || Date.now()).toISOString().slice(0, 19).replaceAll(":", "")}`;
    if (format === "png") {
        const address = URL.createObjectURL(await view.picture(SCALE));
        save(address, `${name}.png`);
        setTimeout(() => URL.revokeObjectURL(address), 60000);
        return;
    }
    const namespaces = shownNamespaces(graph, state).join();
    const asked = { type, window, format, at, namespaces, find: readable(state.find), hide: readable(state.hide), ...around(state, graph) };
    const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    save(`/api/v1/graph?${query}`, `${name}.${FORMATS[format]}`);
}

/** A node that is focused on in the API's words, which go equally far both ways, or one way only. */
function around({ focus, up, down }, graph) {
    if (!graph.nodes.has(focus) || !(up || down)) return {};
    return { node: focus, depth: Math.max(up, down), direction: (!down && "upstream") || (!up && "downstream") };
}

/** An expression, unless there is a mistake in it: then it finds and hides nothing. */
function readable(text) {
    try {
        parse(text);
        return text;
    } catch {
        return "";
    }
}
