// The traffic shifting dialog: opening, closing, and sliders that always add up to 100 %.

const PLAN_AFTER_MS = 140;

/** Moves one weight; the others share what is left in their proportions. */
export function rebalance(weights, moved, to) {
    const others = Object.keys(weights).filter((name) => name !== moved);
    if (!others.length) return { ...weights, [moved]: 100 };
    const target = Math.min(Math.max(Math.round(to), 0), 100);
    return { ...weights, [moved]: target, ...share(100 - target, Object.fromEntries(others.map((name) => [name, weights[name]]))) };
}

/** Whole percents in proportion to the parts, evenly where all are 0; the sum is exactly `total`. As in wizards/intents.py. */
export function share(total, parts) {
    const names = Object.keys(parts);
    const whole = names.reduce((sum, name) => sum + parts[name], 0);
    const exact = Object.fromEntries(names.map((name) => [name, total * (whole ? parts[name] / whole : 1 / names.length)]));
    const shares = Object.fromEntries(names.map((name) => [name, Math.floor(exact[name])]));
    const rest = total - names.reduce((sum, name) => sum + shares[name], 0);
    const byLoss = [...names].sort((a, b) => shares[a] - exact[a] - (shares[b] - exact[b]) || (a < b ? -1 : 1));
    for (const name of byLoss.slice(0, Math.round(rest))) shares[name] += 1;
    return shares;
}

export class Wizard {
    constructor(setProps) {
        this.setProps = setProps;
        document.addEventListener("click", (event) => {
            const opener = event.target.closest("[data-shift]");
            if (opener) this.open(opener.dataset.shift);
        });
    }

    get dialog() {
        return document.getElementById("wizard");
    }

    open(service) {
        if (!this.dialog.open) this.dialog.showModal();
        this.setProps("wizard-open", { data: { service, at: Date.now() } });
    }

    /** Asked by Dash when whose requests are meant changes. */
    gateway(gateway, subject) {
        const unchanged = window.dash_clientside.no_update;
        if (!subject || gateway === subject.gateway) return unchanged;
        return { service: `${subject.namespace}/${subject.service}`, gateway, at: Date.now() };
    }

    /** Asked by Dash when a slider moves: the new values, texts, bar and weights. */
    couple(values, weights) {
        const unchanged = window.dash_clientside.no_update;
        const context = window.dash_clientside.callback_context;
        const names = context.inputs_list[0].map((input) => input.id.subset);
        const styles = context.states_list[1].map((state) => state.value);
        const moved = names.findIndex((name, index) => values[index] !== weights[name]);
        if (moved < 0) return [names.map(() => unchanged), names.map(() => unchanged), names.map(() => unchanged), unchanged];
        const next = rebalance(weights, names[moved], values[moved]);
        clearTimeout(this.planning);
        this.planning = setTimeout(() => this.setProps("wizard-wanted", { data: next }), PLAN_AFTER_MS);
        return [
            names.map((name) => next[name]),
            names.map((name) => `${next[name]} %`),
            names.map((name, index) => ({ ...styles[index], width: `${next[name]}%` })),
            next,
        ];
    }
}
