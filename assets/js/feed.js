// A list that grows while one looks: log lines, requests. The newest are at the end, and the list follows them until
// its reader scrolls up or pauses.

import { clock } from "./format.js";

const KEPT = 2000;
const FIRST = 300;
const NEAR_END_PX = 40;
const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 8000;

export class Feed {
    /** `row(item)` makes an element of an item, `same(item)` what tells it from others; `say(news)` is told what changed. */
    constructor(list, { path, row, same, say }) {
        Object.assign(this, { list, path, row, same, say });
        this.place = list.closest(".feed-scroll");
        this.paused = false;
        this.following = true;
        this.place.addEventListener("scroll", () => { this.following = this.#isAtEnd(); });
        new ResizeObserver(() => this.#follow()).observe(list); // rows also grow when fonts arrive or a window narrows
        this.#reset();
    }

    #isAtEnd() {
        const { scrollHeight, scrollTop, clientHeight } = this.place;
        return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    }

    #follow() {
        if (this.following) this.place.scrollTop = this.place.scrollHeight;
    }

    #reset() {
        this.list.replaceChildren();
        this.known = new Set();
        this.waiting = [];
        this.missed = 0;
        this.total = 0;
    }

    /** Shows what matches `query`; with `live` also what comes. */
    open(query, live) {
        this.close();
        this.query = query;
        this.live = live;
        this.retryMs = RETRY_FIRST_MS;
        this.#start();
    }

    close() {
        clearTimeout(this.timer);
        this.turn = {};
        if (!this.socket) return;
        const { socket } = this;
        this.socket = null;
        socket.onclose = socket.onmessage = null;
        // Closing one that is still connecting would be logged as a failure.
        if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
        else socket.close();
    }

    pause(paused) {
        this.paused = paused;
        this.#flush();
    }

    clear() {
        this.#reset();
        this.#tell();
    }

    /** What there is, then what comes; asked for once more when the socket is open, so that nothing falls between. */
    async #start() {
        const turn = (this.turn = {});
        const shown = await this.#fetch(turn, { whole: true });
        if (turn !== this.turn || shown === "refused") return;
        if (!shown) this.#later();
        else if (this.live) this.#connect(turn);
    }

    #connect(turn) {
        const scheme = location.protocol === "https:" ? "wss" : "ws";
        const socket = new WebSocket(`${scheme}://${location.host}${this.path}/live?${this.query}`);
        this.socket = socket;
        socket.onopen = () => this.#fetch(turn);
        socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
        socket.onclose = () => {
            this.socket = null;
            this.#later();
        };
    }

    #later() {
        this.say({ lost: true });
        this.timer = setTimeout(() => this.#start(), this.retryMs * (0.8 + Math.random() * 0.4));
        this.retryMs = Math.min(this.retryMs * 1.7, RETRY_LIMIT_MS);
    }

    async #fetch(turn, { whole = false } = {}) {
        const answer = await fetch(`${this.path}?${this.query}&limit=${FIRST}`).catch(() => null);
        const content = await answer?.json().catch(() => null);
        if (turn !== this.turn || !content) return null;
        if (whole) this.#reset();
        if (!answer.ok) {
            this.say({ problem: content.error || content.problems?.[0]?.message || `the server answered ${answer.status}` });
            return "refused";
        }
        this.retryMs = RETRY_FIRST_MS;
        this.#draw(content.items);
        this.say({ answer: content });
        this.#tell();
        return "shown";
    }

    #receive(message) {
        if (message.type === "missed") this.missed += message.count;
        else if (message.type === "line" || message.type === "request") this.waiting.push(message);
        else this.say({ message });
        if (this.waiting.length > KEPT) this.missed += this.waiting.splice(0, this.waiting.length - KEPT).length;
        this.frame ||= requestAnimationFrame(() => this.#flush());
    }

    /** At most once per frame, however fast they come. */
    #flush() {
        this.frame = 0;
        if (!this.paused) this.#draw(this.waiting.splice(0));
        this.#tell();
    }

    #draw(items) {
        const { list } = this;
        for (const item of items) {
            const key = this.same(item);
            if (this.known.has(key)) continue;
            this.known.add(key);
            this.total += 1;
            this.#place(this.row(item), item.atNs);
        }
        while (list.childElementCount > KEPT) list.firstElementChild.remove();
        if (this.known.size > 4 * KEPT) this.known = new Set([...this.known].slice(-KEPT));
        this.#follow();
    }

    /** In the order of time: what comes from different proxies comes mixed up. */
    #place(row, at) {
        row.at = BigInt(at);
        let before = this.list.lastElementChild;
        while (before && before.at > row.at) before = before.previousElementSibling;
        if (before) before.after(row);
        else this.list.prepend(row);
    }

    #tell() {
        this.say({ shown: this.list.childElementCount, waiting: this.waiting.length, missed: this.missed });
    }
}

/** `make("span", { class: "muted" }, "text", child)` */
export function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
}

/** 14:03:22.123 where the reader is. */
export function exactly(at) {
    return `${clock(at)}.${String(new Date(at).getMilliseconds()).padStart(3, "0")}`;
}
