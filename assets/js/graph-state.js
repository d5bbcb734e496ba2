// What a person chose on the graph page. It lives in the address, so that a link shows what its sender saw.

import { BOX_KINDS } from "./graph-boxes.js";
import { duration } from "./graph-window.js";
import { instant } from "./moments.js";
import * as url from "./url.js";

export const TYPES = { versionedApp: "Versioned apps", app: "Apps", workload: "Workloads", service: "Services", operation: "Operations" };
export const SPEEDS = { slow: "Slow", normal: "Normal", fast: "Fast" };

const text = (key, usual) => ({ key, read: (value) => value || usual, write: (value) => (value === usual ? null : value) });
const choice = (key, usual, offered) => ({ ...text(key, usual), read: (value) => (Object.hasOwn(offered, value) ? value : usual) });
const number = (key, usual) => ({ ...text(key, usual), read: (value) => (value === null || Number.isNaN(Number(value)) ? usual : Number(value)) });
const flag = (key) => ({ key, read: (value) => value !== "off", write: (value) => (value ? null : "off") });
const listed = (value) => new Set(value.split(",").filter((item) => item && item !== "none" && item !== "off"));
const list = (key, usual) => ({
    key,
    read: (value) => listed(value || usual),
    write: (value) => ([...value].join() === usual ? null : [...value].join() || "none"),
});

const CODES = {
    type: choice("type", "versionedApp", TYPES),
    window: { ...text("window", "10"), read: (value) => String(duration(value || "") || Number(value) || 10) },
    labels: list("labels", "rate,errors,mtls"),
    boxes: list("boxes", Object.keys(BOX_KINDS).join()),
    /** Which boxes are shut; null: as the page sees fit. */
    shut: { key: "shut", read: (value) => (value ? listed(value) : null), write: (value) => value && ([...value].join() || "none") },
    find: text("find", ""),
    hide: text("hide", ""),
    selection: text("sel", null),
    table: { key: "view", read: (value) => value === "table", write: (value) => (value ? "table" : null) },
    legend: { key: "legend", read: (value) => value === "on", write: (value) => (value ? "on" : null) },
    animation: flag("animation"),
    idle: flag("idle"),
    hiddenNamespaces: list("without", ""),
    /** The moment that is looked at, in milliseconds; null: now; a text that is no instant, for the server to complain of. */
    at: { ...text("at", null), read: (value) => instant(value || "", Date.now()) },
    /** How far back the bar of moments goes; null: as far as is needed. */
    span: number("span", null),
    speed: choice("speed", "normal", SPEEDS),
    /** What is compared, as the API takes it: an instant or `revision:41`; null: nothing. */
    from: text("from", null),
    focus: text("focus", null),
    up: number("up", 1),
    down: number("down", 1),
    blast: text("blast", null),
    trace: text("trace", null),
    /** The ids of what else is highlighted; null: nothing. */
    light: { key: "light", read: (value) => (value ? new Set(value.split("\n")) : null), write: (value) => value && [...value].join("\n") },
    /** `x,y,zoom`: what lies in the middle, in the picture's own units; null: everything is shown. */
    camera: text("camera", null),
};

/** What changes with each letter or step; a run of such changes is one entry of the history. */
const GRADUAL = new Set(["find", "hide", "at", "span", "up", "down", "camera"]);

let lastWritten = "";

/** What the address says. */
export function restored() {
    const query = url.read();
    lastWritten = "";
    return Object.fromEntries(Object.entries(CODES).map(([name, { key, read }]) => [name, read(query.get(key))]));
}

/** What of a state is different in another one, with the other one's values. */
export function differing(before, after) {
    return Object.fromEntries(Object.entries(after).filter(([name, value]) => CODES[name].write(value) !== CODES[name].write(before[name])));
}

/** Writes some of the state into the address, as an entry to come back from; what is as usual is left out. */
export function remember(changes) {
    const names = Object.keys(changes);
    const goesOn = names.join() === lastWritten && names.every((name) => GRADUAL.has(name));
    lastWritten = names.join();
    url.write(coded(changes), { asEntry: !goesOn });
}

/** Says in the address what is meant, without an entry. */
export function rephrase(changes) {
    url.write(coded(changes));
}

const coded = (changes) => Object.fromEntries(Object.entries(changes).map(([name, value]) => [CODES[name].key, CODES[name].write(value)]));
