// The log lines of a page: what matches its filters, and what is written now.

import { FeedCard } from "./feed-card.js";
import { exactly, make } from "./feed.js";
import { moment, plural } from "./format.js";

const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g; // colours, as terminals show them
const ACCESS = /^\[[^\]]+\] "(?:(\S+) (\S*) \S+|[^"]*)" (\d+) .*? \d+ \d+ (\d+) \S+ "[^"]*" "[^"]*" "[^"]*" "([^"]*)"/;

export class Logs extends FeedCard {
    get path() {
        return "/api/v1/logs";
    }

    get filters() {
        return ["namespace", "workload", "instance", "source", "grep", "regex", "level", "trace", "since"];
    }

    get noun() {
        return "line";
    }

    begun(query) {
        this.text = (query.get("grep") || "").toLowerCase();
        this.alone = query.has("workload") || query.has("instance");
    }

    heard({ answer }) {
        if (answer) this.answer = answer;
    }

    get aside() {
        return this.answer && !this.answer.complete ? `; what is older than ${exactly(this.answer.reached)} was not looked at` : "";
    }

    get nothing() {
        return this.answer?.store.lines ? "No line matches; loosen a filter or look further back" : super.nothing;
    }

    same(line) {
        return `${line.atNs} ${line.instance} ${line.text}`;
    }

    row(line) {
        const text = line.text.replace(ESCAPES, "");
        const who = this.alone ? line.instance : `${line.namespace}/${line.instance || line.workload}`;
        return make(
            "li",
            { class: `log ${line.level}` },
            make("time", { datetime: line.at, title: moment(line.at) }, exactly(line.at)),
            make("span", { class: "log-level" }, line.level || "–"),
            this.#who(line, who),
            make("span", { class: "log-text" }, ...(this.#access(line, text) || this.#marked(text)), this.#more(line)),
            line.traceId
                ? make("a", { href: `/traces/${line.traceId}`, class: "log-trace", title: "The trace that this line belongs to" }, "Trace")
                : null,
        );
    }

    /** Who wrote it, leading to the workload's page unless that is where we are. */
    #who(line, who) {
        const named = { class: "log-who", title: `${who}, ${line.source}` };
        if (this.fixed || !line.workload) return make("span", named, who);
        const href = `/workloads/${encodeURIComponent(line.namespace)}/${encodeURIComponent(line.workload)}`;
        return make("a", { ...named, href }, who);
    }

    /** What a proxy logs of a request, short; the whole line is behind it. */
    #access(line, text) {
        const found = line.source === "access" && ACCESS.exec(text);
        if (!found) return null;
        const [, method, path, code, took, authority] = found;
        const what = method ? [make("b", {}, method), " ", ...this.#marked(path), `  ${code}`] : [make("b", {}, "TCP")];
        const whole = make("details", { class: "more" }, make("summary", { title: "The whole line", "aria-label": "The whole line" }, "…"), ...this.#marked(text));
        return [make("span", {}, ...what, `  ${took} ms`), authority === "-" ? null : make("span", { class: "log-aside" }, authority), whole];
    }

    #marked(text) {
        const at = this.text ? text.toLowerCase().indexOf(this.text) : -1;
        if (at < 0) return [text];
        const end = at + this.text.length;
        return [text.slice(0, at), make("mark", {}, text.slice(at, end)), text.slice(end)];
    }

    #more(line) {
        const attributes = Object.entries(line.attributes);
        if (!attributes.length) return null;
        const facts = attributes.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
        return make("details", { class: "more" }, make("summary", {}, plural(attributes.length, "attribute")), make("dl", { class: "facts" }, ...facts));
    }
}
