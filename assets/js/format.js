// Numbers as people read them. The same rules as console/views/format.py.

export function rate(value) {
    if (!value) return "0";
    if (value >= 10000) return `${(value / 1000).toFixed(0)}k`;
    if (value >= 1000) return `${(value / 1000).toFixed(1)}k`;
    if (value >= 100) return value.toFixed(0);
    if (value >= 1) return value.toFixed(1);
    return value >= 0.01 ? value.toFixed(2) : "<0.01";
}

export function percent(ratio) {
    if (ratio === null || ratio === undefined) return "–";
    const value = ratio * 100;
    if (value === 0) return "0 %";
    if (value >= 99.95) return "100 %";
    if (value >= 9.95) return `${value.toFixed(0)} %`;
    return value >= 0.1 ? `${value.toFixed(1)} %` : "<0.1 %";
}

export function milliseconds(value) {
    if (value === null || value === undefined) return "–";
    if (value >= 10000) return `${(value / 1000).toFixed(0)} s`;
    if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
    if (value >= 10) return `${value.toFixed(0)} ms`;
    return `${value.toFixed(1)} ms`;
}

export function bytesPerSecond(value) {
    if (!value) return "0 B/s";
    const units = ["B/s", "kB/s", "MB/s", "GB/s"];
    let power = 0;
    while (value >= 1000 && power < units.length - 1) {
        value /= 1000;
        power += 1;
    }
    return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power]}`;
}

/** The time of day, written as the server writes it. */
export const clock = (atMs) => new Date(atMs).toLocaleTimeString("en-GB");

/** Date and time, written as the server writes them: `21 Nov 2026, 21:41:18`. */
export const moment = (atMs) => `${new Date(atMs).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock(atMs)}`;

export function ago(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 90) return `${seconds} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${Math.round(seconds / 3600)} h`;
}

/** The name of a window or of a distance in time, with two units at most: 90 → `1 min 30 s`, 86400 → `24 h`. */
export function span(seconds) {
    const units = [[86400, "days"], [3600, "h"], [60, "min"], [1, "s"]];
    const parts = [];
    let rest = Math.round(seconds);
    for (const [size, unit] of units.slice(rest < 2 * 86400 ? 1 : 0)) {
        if (rest < size || parts.length === 2) continue;
        parts.push(`${Math.floor(rest / size)} ${unit}`);
        rest %= size;
    }
    return parts.join(" ") || "0 s";
}

/** A whole number with thin spaces between thousands. */
export const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** `1 line`, `3 lines`. */
export const plural = (number, one) => `${count(number)} ${number === 1 ? one : `${one}s`}`;

/** The version, unless the name says it already, as a workload's does. */
export const version = (node) => (node.version && !node.label.endsWith(`-${node.version}`) ? node.version : "");

export const nodeName = (node) => [node.label, version(node)].filter(Boolean).join(" ");

export const HEALTH = {
    failure: { word: "Failing", tone: "error" },
    degraded: { word: "Degraded", tone: "warn" },
    not_ready: { word: "Not ready", tone: "warn" },
    healthy: { word: "Healthy", tone: "ok" },
    idle: { word: "No traffic", tone: "idle" },
};
