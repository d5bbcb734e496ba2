// The graph of a window that the stream does not carry: one that ended earlier, or a long one.

import { fromSnapshot } from "./stream.js";

/** The answer's JSON; an error says what the server said. */
export async function asked(path) {
    const response = await fetch(path);
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.message || answer.detail || `The server answered ${response.status}.`);
    return answer;
}

export async function past({ type, window, at }) {
    return { graph: fromSnapshot(await asked(`/api/v1/graph?type=${type}&window=${window}${at ? `&at=${at}` : ""}`)) };
}
