// The window that numbers are summed over: what the sources can tell is offered, what lies beyond is said.

import { span } from "./format.js";

const PRESETS = [10, 60, 300, 900, 3600, 21600, 86400, 604800, 2592000];
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };
const SHORTEST_S = 10;
const LONGEST_S = 30 * 86400;

/** "1h30m" → 5400, "90" → 90; null: not a duration. */
export function duration(text) {
    const parts = [...text.replaceAll(" ", "").matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])?(?:in)?/gy)];
    const whole = parts.map((part) => part[0]).join("");
    if (!whole || whole !== text.replaceAll(" ", "")) return null;
    return parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit || "s"], 0);
}

export class WindowPicker {
    /** `oldestMs`: since when anybody remembers; `chosen(seconds)` when a person picks one. */
    constructor(root, oldestMs, chosen) {
        this.select = root.querySelector("#graph-window");
        this.form = root.querySelector("#window-custom");
        this.input = this.form.querySelector("input");
        this.oldestMs = oldestMs;
        this.chosen = chosen;
        this.select.addEventListener("change", () => this.#picked());
        this.select.addEventListener("pointerdown", () => this.put(this.window));
        this.form.addEventListener("submit", (event) => this.#submitted(event));
        this.form.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#close();
        });
        this.form.querySelector("[data-cancel]").addEventListener("click", () => this.#close());
    }

    get reachS() {
        return Math.floor((Date.now() - this.oldestMs) / 1000);
    }

    /** Offers what there is, and the window that is shown even where it reaches further. */
    put(window) {
        this.window = window;
        const offered = PRESETS.filter((seconds) => seconds <= Math.max(60, this.reachS));
        const values = [...new Set([...offered, Number(window)])].sort((a, b) => a - b);
        const key = values.join();
        if (key !== this.key) {
            this.key = key;
            this.select.replaceChildren(...values.map((seconds) => new Option(`Last ${span(seconds)}`, String(seconds))), new Option("Other …", "other"));
        }
        this.select.value = window;
    }

    #picked() {
        if (this.select.value !== "other") {
            this.chosen(this.select.value);
            return;
        }
        this.form.hidden = false;
        this.form.querySelector("[data-reach]").textContent = `What is remembered goes back ${span(this.reachS)}.`;
        this.#say("");
        this.input.focus();
    }

    #close() {
        this.form.hidden = true;
        this.put(this.window);
        this.select.focus();
    }

    #submitted(event) {
        event.preventDefault();
        const seconds = duration(this.input.value);
        if (seconds === null) this.#say("Write it as 90s, 7m, 2h30m or 3d.");
        else if (seconds < SHORTEST_S || seconds > LONGEST_S) this.#say("It may be from 10s to 30d.");
        else if (seconds > Math.max(60, this.reachS)) this.#say(`Nobody remembers more than ${span(this.reachS)} yet.`);
        else {
            this.window = String(Math.round(seconds));
            this.#close();
            this.chosen(this.window);
        }
    }

    #say(problem) {
        this.form.querySelector("[role=alert]").textContent = problem;
        this.input.toggleAttribute("aria-invalid", Boolean(problem));
    }
}
