// A feed with its buttons and the line that says how it is doing: what log lines and live requests have in common.

import { Feed } from "./feed.js";
import { plural } from "./format.js";

export class FeedCard {
    /** Of a subclass: `path` and `filters` of the API, `noun`; `row(item)` and `same(item)` as in `Feed`. */
    constructor(root) {
        this.root = root;
        this.state = root.querySelector(".feed-state");
        this.pause = root.querySelector("[data-pause]");
        this.pause.addEventListener("click", () => this.#pause(!this.feed.paused));
        root.querySelector("[data-clear]").addEventListener("click", () => this.feed.clear());
        this.feed = new Feed(root.querySelector(".feed"), {
            path: this.path, row: (item) => this.row(item), same: (item) => this.same(item), say: (news) => this.#say(news),
        });
        this.follow();
    }

    destroy() {
        this.feed.close();
    }

    /** Whether another page, which this is a part of, says what is wanted; else the address does. */
    get fixed() {
        return "asked" in this.root.dataset;
    }

    follow() {
        const address = new URLSearchParams(this.fixed ? this.root.dataset.asked : location.search);
        const query = new URLSearchParams(this.filters.filter((name) => address.get(name)).map((name) => [name, address.get(name)]));
        const live = address.get("live") !== "no";
        if (`${query} ${live}` === this.asked) return;
        this.asked = `${query} ${live}`;
        this.begun(query);
        this.#pause(false);
        this.feed.open(query, live);
    }

    /** Something else is asked for. */
    begun() {}

    /** Something came that is no item: an answer's frame, a message. */
    heard() {}

    /** What is said after the count; and instead of it, where nothing matches. */
    get aside() {
        return "";
    }

    get nothing() {
        return this.root.dataset.empty;
    }

    #pause(paused) {
        this.feed.pause(paused);
        this.pause.setAttribute("aria-pressed", String(paused));
    }

    #say(news) {
        this.heard(news);
        if (news.problem) this.#tell(news.problem, "error");
        else if (news.lost) this.#tell("Connecting again …", "warn");
        else if (this.hint) this.#tell(this.hint, "warn");
        else if ("shown" in news) this.#tell(news.shown ? this.#count(news) : this.nothing, "");
    }

    #count({ shown, waiting, missed }) {
        return `${plural(shown, this.noun)}${waiting ? `, ${waiting} waiting` : ""}${missed ? `; ${missed} were too fast to be shown` : ""}${this.aside}`;
    }

    #tell(text, tone) {
        if (this.state.textContent !== text) this.state.textContent = text;
        this.state.className = `feed-state ${tone}`;
    }
}
