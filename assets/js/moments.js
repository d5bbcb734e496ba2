// Moments of the past: how they are written, and the graph of a window that the stream does not carry.

import { duration } from "./graph-window.js";
import { fromSnapshot } from "./stream.js";

const SECONDS_BELOW = 1e11;
const ZONE = /(Z|[+-]\d\d:?\d\d)$/i;

/** The answer's JSON; an error says what the server said. */
export async function asked(path) {
    const response = await fetch(path);
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.error || `The server answered ${response.status}.`);
    return answer;
}

/**
 * The instant that a text means, in milliseconds, in every way the API takes it: RFC 3339 (UTC unless it says else),
 * Unix seconds or milliseconds, `-10m`. Null: now. What is none stays a text; the server says what is wrong with it.
 */
export function instant(text, nowMs) {
    const ago = text.trim().replace(/^now/, "");
    if (!ago) return null;
    const seconds = ago.startsWith("-") ? duration(ago.slice(1)) : null;
    if (seconds !== null) return nowMs - Math.round(seconds * 1000);
    if (/^\d{1,15}(\.\d{1,9})?$/.test(ago)) return Math.trunc(Number(ago) * (Number(ago) < SECONDS_BELOW ? 1000 : 1));
    const at = /^\d{4}-/.test(ago) ? Date.parse(ago.includes("T") && !ZONE.test(ago) ? `${ago}Z` : ago) : NaN;
    return Number.isNaN(at) ? ago : at;
}

export async function past({ type, window, at }) {
    return { graph: fromSnapshot(await asked(`/api/v1/graph?type=${type}&window=${window}${at ? `&at=${encodeURIComponent(at)}` : ""}`)) };
}
