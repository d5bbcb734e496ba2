// What the lines of a chart were at, under the pointer. The page's charts are drawn anew while one points at them.

import { make } from "./feed.js";
import { clock } from "./format.js";

const NEAR = 0.08; // of a chart's width: further from a line nothing is told

export class ChartTip {
    constructor() {
        this.text = make("span");
        this.place = make("div", { class: "chart-tip", hidden: "hidden", "aria-hidden": "true" }, this.text);
        document.body.append(this.place);
        document.addEventListener("pointermove", ({ target, clientX }) => this.#show(target.closest?.("[data-points]"), clientX));
        document.addEventListener("scroll", () => this.#show(null), { capture: true, passive: true });
    }

    #show(plot, x) {
        const found = plot && nearest(plot, x);
        this.place.hidden = !found;
        if (!found) return;
        const { left, top, width, height } = plot.getBoundingClientRect();
        this.text.textContent = `${clock(found.at)} · ${found.text}`;
        this.text.style.transform = `translateX(${-100 * found.share}%)`; // so that it stays above the chart
        Object.assign(this.place.style, { left: `${left + found.share * width}px`, top: `${top}px`, height: `${height}px` });
    }
}

function nearest(plot, x) {
    const { left, width } = plot.getBoundingClientRect();
    const points = JSON.parse(plot.dataset.points);
    const end = points.at(-1)?.[0];
    const shares = points.map(([at, text]) => ({ at, text, share: 1 - (end - at) / (1000 * plot.dataset.span) }));
    const away = ({ share }) => Math.abs(left + share * width - x);
    const found = shares.reduce((best, one) => (best && away(best) <= away(one) ? best : one), null);
    return found && away(found) <= NEAR * width ? found : null;
}
