// Requests as proxies see them, while they happen: of the whole page's filters, or of one edge in a panel.

import { Feed, exactly, make } from "./feed.js";
import * as format from "./format.js";

const ASKED = ["namespace", "source", "target", "method", "path", "status", "minMs", "errors"];

export class Tap {
    constructor(root) {
        this.root = root;
        this.state = root.querySelector(".feed-state");
        this.pause = root.querySelector("[data-pause]");
        this.pause.addEventListener("click", () => this.#pause(!this.feed.paused));
        root.querySelector("[data-clear]").addEventListener("click", () => this.feed.clear());
        this.fixed = "asked" in root.dataset;
        this.feed = new Feed(root.querySelector(".feed"), {
            path: "/api/v1/tap",
            row: (request) => this.#row(request),
            same: (request) => `${request.atNs} ${request.requestId} ${request.path} ${request.reporter}`,
            say: (news) => this.#say(news),
        });
        this.follow();
    }

    destroy() {
        this.feed.close();
    }

    /** The address says what is wanted; as a part of another page, that page does. */
    follow() {
        const address = new URLSearchParams(this.fixed ? this.root.dataset.asked : location.search);
        const query = new URLSearchParams();
        for (const name of ASKED) if (address.get(name)) query.set(name, address.get(name));
        if (`${query}` === this.asked) return;
        this.asked = `${query}`;
        this.hint = "";
        this.#pause(false);
        this.feed.open(query, true);
    }

    #pause(paused) {
        this.feed.pause(paused);
        this.pause.setAttribute("aria-pressed", String(paused));
    }

    #row(request) {
        const { method, code, grpc, flags } = request;
        const what = method ? [make("b", {}, method), ` ${request.path}`] : [make("b", {}, "TCP"), ` ${request.receivedBytes} B in, ${request.sentBytes} B out`];
        const status = method ? (grpc ? `gRPC ${grpc}` : code) : "";
        return make(
            "li",
            { class: `request${request.failed ? " failed" : ""}` },
            make("time", { datetime: request.at, title: format.moment(request.at) }, exactly(request.at)),
            this.fixed ? null : make("span", { class: "request-ends" }, `${name(request.source)} → ${name(request.target) || request.service?.name || "unknown"}`),
            make("span", { class: "request-what", title: `${request.authority}${request.path}` }, ...what),
            make("span", { class: "request-status", title: request.details }, status, flags ? make("i", {}, flags) : null),
            make("span", { class: "request-took" }, format.milliseconds(request.durationMs)),
            request.traceId
                ? make("a", { href: `/traces/${request.traceId}`, title: "The trace of this request" }, "Trace")
                : make("span", { class: "request-untraced" }),
        );
    }

    #say(news) {
        if (news.message?.type === "hint") this.hint = news.message.message;
        if (news.problem) this.#tell(news.problem, "error");
        else if (news.lost) this.#tell("Connecting again …", "warn");
        else if (this.hint) this.#tell(this.hint, "warn");
        else if ("shown" in news) {
            const waiting = news.waiting ? `, ${news.waiting} waiting` : "";
            const missed = news.missed ? `; ${news.missed} were too fast to be shown` : "";
            this.#tell(news.shown ? `${format.plural(news.shown, "request")}${waiting}${missed}` : this.root.dataset.empty, "");
        }
    }

    #tell(text, tone) {
        if (this.state.textContent !== text) this.state.textContent = text;
        this.state.className = `feed-state ${tone}`;
    }
}

function name(workload) {
    return workload ? workload.workload : "";
}
