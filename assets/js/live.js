// Live regions: what the server sends is patched into what is there, so that focus, half-made clicks,
// selected text and open details survive. Rows that change all the time (`data-hold`) wait while one points at them.
// See console/widgets/live.py for the form.

const KEPT = new Set(["open"]); // belongs to the person, not to the content
const ATTEMPTS = 20;

/** Makes the children of `parent` equal to `wanted`. */
export function patch(parent, wanted) {
    const flat = wanted.flatMap(function flatten(item) {
        return Array.isArray(item) && typeof item[0] !== "string" ? item.flatMap(flatten) : [item];
    });
    const keyed = new Map();
    for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
    let position = parent.firstChild;
    for (const item of flat) {
        const reused = match(position, item, keyed);
        const node = reused || create(item);
        if (node === position) position = position.nextSibling;
        else parent.insertBefore(node, position);
        if (reused) update(node, item);
    }
    while (position) {
        const next = position.nextSibling;
        position.remove();
        position = next;
    }
}

function match(candidate, item, keyed) {
    if (typeof item === "string") return candidate?.nodeType === Node.TEXT_NODE ? candidate : null;
    const [tag, attributes] = item;
    const key = attributes["data-key"];
    if (key !== undefined) {
        const known = keyed.get(key);
        return known?.localName === tag ? known : null;
    }
    const same = candidate?.nodeType === Node.ELEMENT_NODE && candidate.localName === tag && candidate.dataset.key === undefined;
    return same ? candidate : null;
}

function create(item) {
    if (typeof item === "string") return document.createTextNode(item);
    const node = document.createElement(item[0]);
    update(node, item);
    return node;
}

function update(node, item) {
    if (typeof item === "string") {
        if (node.data !== item) node.data = item;
        return;
    }
    const [, attributes, children] = item;
    const fresh = !node.attributes.length && !node.firstChild;
    const held = isHeld(node, attributes);
    for (const { name } of [...node.attributes]) if (!(name in attributes) && !KEPT.has(name)) node.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    node.toggleAttribute("data-held", held);
    if (fresh || !(held || "data-own" in attributes)) patch(node, children); // what a script has put into its own place stays
}

/** Whether somebody is about to choose one of the rows; rows of something else (`data-hold` differs) are shown at once. */
function isHeld(node, attributes) {
    return "data-hold" in attributes && node.dataset.hold === attributes["data-hold"] && node.matches(":hover, :has(:focus-visible)");
}

/** What each region was to show last, by its name. */
const newest = new Map();

/** Asked by Dash when a region has news. */
export function show(content, { name }) {
    if (content) {
        newest.set(name, content);
        put(content, name, ATTEMPTS);
    }
    return window.dash_clientside.no_update;
}

/** A region's element may come a frame later than its content; what is older by then is let go. */
function put(content, name, attempts) {
    if (newest.get(name) !== content) return;
    const place = document.getElementById(`live-${name}`);
    if (place) patch(place, content);
    else if (attempts) requestAnimationFrame(() => put(content, name, attempts - 1));
}
