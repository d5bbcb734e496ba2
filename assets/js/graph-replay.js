// Earlier moments: a bar to move along the time that is remembered, by hand or played.

import { spoken } from "./graph-window.js";

const SPANS = [600, 3600, 21600, 86400, 604800, 2592000];
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
    /** `go(at)` shows a moment, null: now, and resolves when it is there. */
    constructor(root, oldestMs, go) {
        this.bar = root.querySelector(".replay");
        this.pick = (selector) => this.bar.querySelector(selector);
        this.oldestMs = oldestMs + FIRST_MS;
        this.go = go;
        this.slider = this.pick("#replay-at");
        this.slider.addEventListener("input", () => this.#seek(Number(this.slider.value)));
        this.pick("#replay-time").addEventListener("change", (event) => this.#exactly(event.target.value));
        this.pick("#replay-span").addEventListener("change", (event) => this.#span(Number(event.target.value)));
        this.bar.addEventListener("click", (event) => this.#clicked(event));
    }

    stop() {
        clearTimeout(this.timer);
        clearTimeout(this.seeking);
        this.playing = false;
    }

    begin() {
        this.go(Math.max(this.oldestMs, Date.now() - 600000));
    }

    /** Puts a moment into the bar; null hides it. */
    put(at) {
        this.at = at;
        this.bar.hidden = !at;
        if (!at) {
            this.stop();
            return;
        }
        this.#spans();
        const now = Date.now();
        this.slider.min = Math.max(now - this.spanS * 1000, Math.min(this.oldestMs, at));
        this.slider.max = now;
        this.slider.step = this.stepMs;
        this.slider.value = at;
        this.slider.setAttribute("aria-valuetext", `${new Date(at).toLocaleString()}, ${spoken((now - at) / 1000)} ago`);
        const exact = this.pick("#replay-time");
        if (document.activeElement !== exact) exact.value = local(at);
        this.pick("#replay-ago").textContent = `${spoken((now - at) / 1000)} ago`;
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
        if (action === "live") this.go(null);
    }

    /** The shortest span that holds the moment, unless a person chose a longer one. */
    #spans() {
        const needed = (Date.now() - this.at) / 1000;
        const reach = (Date.now() - this.oldestMs) / 1000;
        const offered = SPANS.filter((seconds, index) => index === 0 || SPANS[index - 1] < reach);
        if (!(this.spanS >= needed)) this.spanS = offered.find((seconds) => seconds >= needed) || offered.at(-1);
        const select = this.pick("#replay-span");
        if (select.options.length !== offered.length) select.replaceChildren(...offered.map((seconds) => new Option(`Past ${spoken(seconds)}`, String(seconds))));
        select.value = String(this.spanS);
    }

    #span(seconds) {
        this.spanS = seconds;
        this.#seek(Math.max(this.at, Date.now() - seconds * 1000));
    }

    #exactly(text) {
        const at = new Date(text).getTime();
        if (at) this.#seek(at);
    }

    #seek(at) {
        const bounded = Math.round(Math.min(Date.now(), Math.max(this.oldestMs, at)));
        this.put(bounded);
        clearTimeout(this.seeking);
        this.seeking = setTimeout(() => this.go(bounded), SETTLE_MS);
    }

    /** The next moment is asked for when the last one is there: a slow source is never asked twice at once. */
    async #next() {
        const next = this.at + this.stepMs;
        if (next > Date.now()) {
            this.go(null);
            return;
        }
        const pause = new Promise((resolve) => { this.timer = setTimeout(resolve, Number(this.pick("#replay-speed").value)); });
        await Promise.all([this.go(next), pause]);
        if (this.playing) this.#next();
    }

    #playButton() {
        const button = this.pick('[data-moment="play"]');
        button.setAttribute("aria-label", this.playing ? "Pause" : "Play from here");
        button.firstElementChild.className = `ic ic-${this.playing ? "pause" : "play"}`;
    }
}
