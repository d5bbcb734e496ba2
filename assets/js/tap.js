// Requests as proxies see them, while they happen.

import { FeedCard } from "./feed-card.js";
import { exactly, make } from "./feed.js";
import * as format from "./format.js";

export class Tap extends FeedCard {
    get path() {
        return "/api/v1/tap";
    }

    get filters() {
        return ["namespace", "source", "target", "method", "path", "status", "minMs", "errors"];
    }

    get noun() {
        return "request";
    }

    begun() {
        this.hint = "";
    }

    heard({ message }) {
        if (message?.type === "hint") this.hint = message.message;
    }

    same(request) {
        return `${request.atNs} ${request.requestId} ${request.path} ${request.reporter}`;
    }

    row(request) {
        const { method, code, grpc, flags } = request;
        const what = method ? [make("b", {}, method), ` ${request.path}`] : [make("b", {}, "TCP"), ` ${request.receivedBytes} B in, ${request.sentBytes} B out`];
        const status = method ? (grpc ? `gRPC ${grpc}` : code) : "";
        return make(
            "li",
            { class: `request${request.failed ? " failed" : ""}` },
            make("time", { datetime: request.at, title: format.moment(request.at) }, exactly(request.at)),
            make("span", { class: "request-ends" }, `${name(request.source)} → ${name(request.target) || request.service?.name || "unknown"}`),
            make("span", { class: "request-what", title: `${request.authority}${request.path}` }, ...what),
            make("span", { class: "request-status", title: request.details }, status, flags ? make("i", {}, flags) : null),
            make("span", { class: "request-took" }, format.milliseconds(request.durationMs)),
            request.traceId
                ? make("a", { href: `/traces/${request.traceId}`, title: "The trace of this request" }, "Trace")
                : make("span", { class: "request-untraced" }),
        );
    }
}

const name = (workload) => (workload ? workload.workload : "");
