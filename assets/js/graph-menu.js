// What one can do with a node, an edge or a box: by right click, or by the key "m" on the one that is chosen.

const GAP = 8;

export class Menu {
    /** `element` is the empty menu in the stage. */
    constructor(element) {
        this.element = element;
        element.addEventListener("keydown", (event) => this.#pressed(event));
        element.addEventListener("focusout", (event) => {
            if (!element.contains(event.relatedTarget)) this.close();
        });
    }

    /** Opens at a place in the stage; `entries` are `[icon, text, act]`. */
    open(entries, { x, y }) {
        this.back = document.activeElement;
        this.element.replaceChildren(...entries.map(([icon, text, act]) => this.#entry(icon, text, act)));
        this.element.hidden = false;
        const { offsetWidth: width, offsetHeight: height, parentElement: stage } = this.element;
        const left = Math.max(GAP, Math.min(x, stage.clientWidth - width - GAP));
        const top = Math.max(GAP, Math.min(y, stage.clientHeight - height - GAP));
        this.element.style.transform = `translate(${left}px, ${top}px)`;
        this.element.firstElementChild?.focus();
    }

    close() {
        this.element.hidden = true;
    }

    #entry(icon, text, act) {
        const button = document.createElement("button");
        const sign = document.createElement("span");
        button.type = "button";
        button.setAttribute("role", "menuitem");
        sign.className = `ic ic-${icon}`;
        sign.setAttribute("aria-hidden", "true");
        button.append(sign, text);
        button.addEventListener("click", () => {
            this.#leave();
            act();
        });
        return button;
    }

    #pressed(event) {
        const items = [...this.element.children];
        const at = items.indexOf(document.activeElement);
        const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
        if (next !== undefined) items.at(next % items.length).focus();
        else if (event.key === "Escape") this.#leave();
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    /** Closes, and gives the keyboard back to where it was: what is pressed next must not go to what is hidden. */
    #leave() {
        this.close();
        this.back?.focus();
    }
}
