// The toolbar, the menus and the keys: each turns what a person does into a change of the page's state.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const DEEPEST = 9;

export class Controls {
    constructor(root, page) {
        this.root = root;
        this.page = page;
        this.pick = (selector) => root.querySelector(selector);
        this.legend = this.pick(".legend");
        this.actions = {
            "zoom-in": () => page.view?.zoomBy(1.25),
            "zoom-out": () => page.view?.zoomBy(0.8),
            fit: () => page.view?.refit(),
            arrange: () => page.view?.arrangeAnew(),
            table: () => page.set({ table: !page.state.table }),
            close: () => page.select(null),
            replay: () => (page.state.at ? page.set({ at: null, span: null }) : page.replay.begin()),
            compare: () => (page.state.from ? page.set({ from: null }) : page.comparing.begin()),
            unfocus: () => page.focus(null),
            unlight: () => page.light({}),
            open: () => page.set({ shut: new Set() }),
            unhide: () => page.set({ hide: "", idle: true, hiddenNamespaces: new Set() }),
            menu: () => this.#menuOfSelection(),
        };
    }

    bind(signal) {
        const { root, page } = this;
        root.addEventListener("click", (event) => this.#clicked(event), { signal });
        root.addEventListener("change", (event) => this.#changed(event), { signal });
        this.legend.addEventListener("toggle", () => {
            if (this.legend.open !== page.state.legend) page.set({ legend: this.legend.open });
        }, { signal });
        document.addEventListener("keydown", (event) => this.#pressed(event), { signal });
        document.addEventListener("click", (event) => {
            for (const menu of root.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
        }, { signal });
    }

    put(state) {
        this.pick("#graph-type").value = state.type;
        this.legend.open = state.legend;
        for (const box of this.root.querySelectorAll("[data-label]")) box.checked = state.labels.has(box.dataset.label);
        for (const box of this.root.querySelectorAll("[data-box]")) box.checked = state.boxes.has(box.dataset.box);
        for (const box of this.root.querySelectorAll("[data-display]")) box.checked = state[box.dataset.display];
        for (const box of this.root.querySelectorAll("[data-namespace]")) box.checked = !state.hiddenNamespaces.has(box.dataset.namespace);
        const pressed = { table: state.table, replay: Boolean(state.at), compare: Boolean(state.from) };
        for (const [action, on] of Object.entries(pressed)) this.pick(`[data-action="${action}"]`).setAttribute("aria-pressed", String(on));
        this.pick("#graph-table").hidden = !state.table;
        this.pick("#graph-canvas").style.visibility = state.table ? "hidden" : "";
        for (const floating of this.root.querySelectorAll("#graph-crowd, #graph-traffic, .legend, .graph-foot")) floating.hidden = state.table;
    }

    /** A tick box for each namespace of the graph. */
    namespaces(graph) {
        const names = [...new Set([...graph.nodes.values()].map((node) => node.namespace).filter(Boolean))].sort();
        if (this.known === names.join()) return;
        this.known = names.join();
        this.pick("#graph-namespaces").replaceChildren(...names.map((name) => {
            const label = document.createElement("label");
            const box = document.createElement("input");
            box.type = "checkbox";
            box.dataset.namespace = name;
            box.checked = !this.page.state.hiddenNamespaces.has(name);
            label.append(box, name);
            return label;
        }));
    }

    /** What can be done with an element of the picture: `[icon, text, act]`. */
    entriesFor(id) {
        const { page } = this;
        const { graph, boxes } = page.view;
        const node = graph.nodes.get(id);
        if (id.startsWith("shut:")) return [["boxes", "Open the box", () => page.turn(id.slice(5), false)]];
        if (page.view.graph.boxes.has(id)) return [["boxes", "Shut the box", () => page.turn(id, true)]];
        if (!node) return [["info", "Details", () => page.select(id)]];
        return [
            ["info", "Details", () => page.select(id)],
            ["crosshair", "Focus on it", () => page.focus(id)],
            ["radar", "Who depends on it", () => page.light({ blast: id })],
            ["search", "Find", () => page.set({ find: `name = "${node.label}"` })],
            ["eye-off", "Hide", () => page.set({ hide: [page.state.hide, `name = "${node.label}"`].filter(Boolean).join(" or ") })],
        ];
    }

    #menuOfSelection() {
        const { view, state } = this.page;
        const element = state.selection && view?.cy.getElementById(state.selection);
        if (!element?.length) return;
        const box = element.renderedBoundingBox();
        this.page.openMenu(element.id(), { x: box.x2, y: box.y1 });
    }

    #clicked(event) {
        const { page } = this;
        const near = (name) => event.target.closest(`[data-${name}]`)?.dataset[name];
        this.actions[near("action")]?.();
        if (near("select")) page.select(near("select"));
        if (near("focus")) page.focus(near("focus"));
        if (near("blast")) page.light({ blast: near("blast") });
        if (near("trace")) page.light({ trace: near("trace") });
        if (near("light")) page.light({ light: new Set(near("light").split("\n")) });
        if (near("depth")) this.#deepen(near("depth"));
        if (near("example")) page.search.example(near("example"));
        if (near("export")) {
            page.export(near("export"));
            event.target.closest(".menu").open = false;
        }
    }

    #deepen(change) {
        const [direction, sign] = change.split(" ");
        const depth = Math.max(0, Math.min(DEEPEST, this.page.state[direction] + Number(sign)));
        this.page.set({ [direction]: depth });
    }

    #changed({ target }) {
        const { page } = this;
        const { state } = page;
        const toggled = (before, value, on) => {
            const after = new Set(before);
            after[on ? "add" : "delete"](value);
            return after;
        };
        if (target.id === "graph-type") page.set({ type: target.value });
        if (target.dataset.label) page.set({ labels: toggled(state.labels, target.dataset.label, target.checked) });
        if (target.dataset.box) page.set({ boxes: inOrder(toggled(state.boxes, target.dataset.box, target.checked)) });
        if (target.dataset.display) page.set({ [target.dataset.display]: target.checked });
        if (target.dataset.namespace) page.set({ hiddenNamespaces: toggled(state.hiddenNamespaces, target.dataset.namespace, !target.checked) });
    }

    #pressed(event) {
        const { page } = this;
        if (event.key === "Escape" && this.#shutMenu()) return;
        if (event.target.closest("input, textarea, select, [role=dialog], [role=menu]") || event.ctrlKey || event.metaKey || event.altKey) {
            if (event.key === "Escape" && event.target.matches("#graph-find, #graph-hide")) event.target.blur();
            return;
        }
        const keys = { "/": () => this.pick("#graph-find").focus(), f: this.actions.fit, t: this.actions.table, m: this.actions.menu, "+": this.actions["zoom-in"], "=": this.actions["zoom-in"], "-": this.actions["zoom-out"] };
        if (event.key in ARROWS && document.activeElement?.id === "graph-canvas") {
            event.preventDefault();
            page.view?.step(...ARROWS[event.key]);
        } else if (event.key === "Enter" && document.activeElement?.id === "graph-canvas" && page.state.selection) {
            page.opened(page.view.cy.elements(":selected").id());
        } else if (event.key === "Escape") this.#escape();
        else if (keys[event.key]) {
            event.preventDefault();
            keys[event.key]();
        }
    }

    /** Shuts the menu that is open and gives the keyboard back to its button; false where none is. */
    #shutMenu() {
        const open = this.root.querySelector(".menu[open]");
        if (!open) return false;
        open.open = false;
        open.querySelector("summary").focus();
        return true;
    }

    /** Takes back the last thing first: the highlight, the selection, the focus. */
    #escape() {
        const { page } = this;
        if (page.isLit) page.light({});
        else if (page.state.selection) page.select(null);
        else if (page.state.focus) page.focus(null);
    }
}

/** From the outside in, so that the address has one way to say it. */
const inOrder = (boxes) => new Set(["cluster", "namespace", "app"].filter((kind) => boxes.has(kind)));
