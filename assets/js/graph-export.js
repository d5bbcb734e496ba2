// The graph as a file: what the server writes, and the picture as it is seen.

const FORMATS = { json: "json", csv: "csv", dot: "dot", graphml: "graphml", mermaid: "mmd", svg: "svg" };
const SCALE = 2;

function save(href, name) {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
}

/** Saves the graph of a state; PNG is what `view` shows. */
export async function exported(format, { type, window, at, focus }, view) {
    const name = `meshscope-${type}-${new Date(at || Date.now()).toISOString().slice(0, 19).replaceAll(":", "")}`;
    if (format === "png") {
        const address = URL.createObjectURL(await view.picture(SCALE));
        save(address, `${name}.png`);
        setTimeout(() => URL.revokeObjectURL(address), 10000);
        return;
    }
    const query = new URLSearchParams({ type, window, format });
    if (at) query.set("at", at);
    if (focus) query.set("node", focus);
    save(`/api/v1/graph?${query}`, `${name}.${FORMATS[format]}`);
}
