// What a person chose on the graph page. It lives in the address, so that a link shows what its sender saw.

import { BOX_KINDS } from "./graph-boxes.js";
import * as url from "./url.js";

const text = (key, usual) => ({ key, read: (value) => value || usual, write: (value) => (value === usual ? null : value) });
const number = (key, usual) => ({ key, read: (value) => Number(value) || usual, write: (value) => (value === usual ? null : value) });
const flag = (key) => ({ key, read: (value) => value !== "off", write: (value) => (value ? null : "off") });
const listed = (value) => new Set(value.split(",").filter((item) => item && item !== "none" && item !== "off"));
const list = (key, usual) => ({
    key,
    read: (value) => listed(value || usual),
    write: (value) => ([...value].join() === usual ? null : [...value].join() || "none"),
});

const CODES = {
    type: text("type", "versionedApp"),
    window: text("window", "10"),
    labels: list("labels", "rate,errors,mtls"),
    boxes: list("boxes", Object.keys(BOX_KINDS).join()),
    /** Which boxes are shut; null: as the page sees fit. */
    shut: { key: "shut", read: (value) => (value ? listed(value) : null), write: (value) => value && ([...value].join() || "none") },
    find: text("find", ""),
    hide: text("hide", ""),
    selection: text("sel", null),
    table: { key: "view", read: (value) => value === "table", write: (value) => (value ? "table" : null) },
    animation: flag("animation"),
    idle: flag("idle"),
    hiddenNamespaces: list("without", ""),
    /** The moment that is looked at; null: now. */
    at: number("at", null),
    /** What is compared, as the API takes it: an instant or `revision:41`; null: nothing. */
    from: text("from", null),
    focus: text("focus", null),
    up: number("up", 1),
    down: number("down", 1),
    blast: text("blast", null),
    trace: text("trace", null),
};

/** What the address says. */
export function restored() {
    const query = url.read();
    return Object.fromEntries(Object.entries(CODES).map(([name, { key, read }]) => [name, read(query.get(key))]));
}

/** Writes some of it into the address; what is as usual is left out. */
export function remember(changes) {
    url.write(Object.fromEntries(Object.entries(changes).map(([name, value]) => [CODES[name].key, CODES[name].write(value)])));
}
