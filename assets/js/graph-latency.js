// Latency of edges that are one because boxes are shut. Quantiles cannot be put together; the server has the samples.

import { asked } from "./moments.js";

const LEAST_PAUSE_MS = 3000;

export class Latencies {
    /** `arrived()` when there are new ones. */
    constructor(arrived) {
        this.arrived = arrived;
        this.known = new Map();
        this.askedMs = 0;
    }

    /** `{p50, p95, p99}` of an edge, by its id; undefined where it is not known. */
    of(id) {
        return this.known.get(id);
    }

    /** Asks anew when something else is shut or looked at, else once in a while for news. Without `shut` there is nothing to ask. */
    async follow({ type, window, at, hide, labels }, shut, namespaces, revision) {
        if (!shut.size || !["p50", "p95", "p99"].some((name) => labels.has(name))) return;
        const query = new URLSearchParams({ type, window, at: at || "", hide, namespaces: namespaces.join(), shut: [...shut].join() }).toString();
        const isOther = query !== this.query;
        if (!isOther && (this.isAsking || revision === this.revision || Date.now() - this.askedMs < LEAST_PAUSE_MS)) return;
        Object.assign(this, { query, revision, askedMs: Date.now(), isAsking: true });
        if (isOther) this.known = new Map();
        const answer = await asked(`/api/v1/analysis/latency?${query}`).catch(() => ({ items: [] }));
        if (query !== this.query) return;
        this.isAsking = false;
        const end = (id) => (shut.has(id) ? `shut:${id}` : id);
        this.known = new Map(answer.items.map(({ source, target, protocol, p50, p95, p99 }) => [`${end(source)}>${end(target)}>${protocol}`, { p50, p95, p99 }]));
        this.arrived();
    }
}
