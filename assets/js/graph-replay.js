// Earlier moments: a bar to move along the time that is remembered, by hand or played.

import * as format from "./format.js";

const SPANS = [600, 3600, 21600, 86400, 604800, 2592000];
const PAUSES_MS = { slow: 3000, normal: 1000, fast: 300 };
const SHORTEST_STEP_S = 10;
const STEPS = 360;
const SETTLE_MS = 120;
/** The very first moment has nothing before it to tell of. */
const FIRST_MS = 15000;

/** An instant as the input for local time takes it. */
function local(atMs) {
    const at = new Date(atMs);
    return new Date(atMs - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

export class Replay {
    /**
     * `oldestMs`: since when anybody remembers; `sinceMs`: since when without a gap. `go({at})` shows a moment, null: now,
     * and resolves when it is there; `go({span})` and `go({speed})` are remembered.
     */
    constructor(root, { oldestMs, sinceMs }, go) {
        this.bar = root.querySelector(".replay");
        this.pick = (selector) => this.bar.querySelector(selector);
        this.oldestMs = oldestMs + FIRST_MS;
        this.sinceMs = sinceMs + FIRST_MS;
        this.go = go;
        this.slider = this.pick("#replay-at");
        this.slider.addEventListener("input", () => this.#seek(Number(this.slider.value)));
        this.pick("#replay-time").addEventListener("change", (event) => this.#exactly(event.target.value));
        this.pick("#replay-span").addEventListener("change", (event) => this.#span(Number(event.target.value)));
        this.pick("#replay-speed").addEventListener("change", (event) => this.go({ speed: event.target.value }));
        this.bar.addEventListener("click", (event) => this.#clicked(event));
    }

    stop() {
        clearTimeout(this.timer);
        clearTimeout(this.seeking);
        this.playing = false;
    }

    begin() {
        const now = Date.now();
        this.go({ at: Math.min(now, Math.max(this.sinceMs, now - 600000)) });
    }

    /** Puts a moment into the bar, how far back it goes, and how fast it is played; without a moment it is hidden. */
    put({ at, span, speed }) {
        this.at = Number.isFinite(at) ? at : null;
        this.bar.hidden = !this.at;
        this.wantedS = span;
        this.speed = speed;
        if (!this.at) {
            this.stop();
            return;
        }
        this.#spans();
        const now = Date.now();
        this.slider.min = Math.max(now - this.spanS * 1000, Math.min(this.oldestMs, at));
        this.slider.max = now;
        this.slider.step = this.stepMs;
        this.slider.value = at;
        this.slider.setAttribute("aria-valuetext", `${format.moment(at)}, ${format.span((now - at) / 1000)} ago`);
        const exact = this.pick("#replay-time");
        if (document.activeElement !== exact) exact.value = local(at);
        this.pick("#replay-speed").value = speed;
        this.pick("#replay-ago").textContent = `${format.span((now - at) / 1000)} ago`;
        this.#playButton();
    }

    get stepMs() {
        return 1000 * Math.max(SHORTEST_STEP_S, Math.round(this.spanS / STEPS / 10) * 10);
    }

    step(steps) {
        this.#seek(this.at + steps * this.stepMs);
    }

    togglePlay() {
        this.playing = !this.playing;
        clearTimeout(this.timer);
        this.#playButton();
        if (this.playing) this.#next();
    }

    #clicked(event) {
        const action = event.target.closest("[data-moment]")?.dataset.moment;
        if (action === "play") this.togglePlay();
        if (action === "back") this.step(-1);
        if (action === "forth") this.step(1);
        if (action === "live") this.go({ at: null, span: null });
    }

    /** The span that a person chose, or a longer one where it does not hold the moment. */
    #spans() {
        const needed = (Date.now() - this.at) / 1000;
        const reach = (Date.now() - this.oldestMs) / 1000;
        const offered = SPANS.filter((seconds, index) => index === 0 || SPANS[index - 1] < reach);
        this.spanS = offered.find((seconds) => seconds >= Math.max(needed, this.wantedS)) || offered.at(-1);
        const select = this.pick("#replay-span");
        if (select.options.length !== offered.length) select.replaceChildren(...offered.map((seconds) => new Option(`Past ${format.span(seconds)}`, String(seconds))));
        select.value = String(this.spanS);
    }

    #span(seconds) {
        this.go({ span: seconds, at: Math.max(this.at, Date.now() - seconds * 1000) });
    }

    #exactly(text) {
        const at = new Date(text).getTime();
        if (at) this.#seek(at);
    }

    #seek(at) {
        const bounded = Math.round(Math.min(Date.now(), Math.max(this.oldestMs, at)));
        this.put({ at: bounded, span: this.wantedS, speed: this.speed });
        clearTimeout(this.seeking);
        this.seeking = setTimeout(() => this.go({ at: bounded }), SETTLE_MS);
    }

    /** The next moment is asked for when the last one is there: a slow source is never asked twice at once. */
    async #next() {
        const next = this.at + this.stepMs;
        if (next > Date.now()) {
            this.go({ at: null, span: null });
            return;
        }
        const pause = new Promise((resolve) => { this.timer = setTimeout(resolve, PAUSES_MS[this.speed]); });
        await Promise.all([this.go({ at: next }), pause]);
        if (this.playing) this.#next();
    }

    #playButton() {
        const button = this.pick('[data-moment="play"]');
        button.title = this.playing ? "Pause" : "Play from here";
        button.setAttribute("aria-label", button.title);
        button.firstElementChild.className = `ic ic-${this.playing ? "pause" : "play"}`;
    }
}
