// The traffic graph page: its controls, the address, the picture, the table and the side panel's selection.

import * as find from "./find.js";
import * as format from "./format.js";
import { render as renderTable } from "./graph-table.js";
import { markup } from "./graph-markup.js";
import { styled } from "./graph-style.js";
import { GraphView, loadLibrary } from "./graph-view.js";
import { fromSnapshot } from "./stream.js";
import * as url from "./url.js";

const DEFAULTS = { type: "versionedApp", window: "10", labels: "rate,errors,mtls" };
const STALE_MS = 8000;
const REPLAY_STEP_MS = 10000;
const REPLAY_REACH_MS = 3600000;

export class GraphPage {
    /** `root` is the page's element; `stream` carries the live graph; `setProps` reaches Dash. */
    constructor(root, stream, setProps) {
        this.root = root;
        this.stream = stream;
        this.setProps = setProps;
        this.graph = null;
        this.state = restored();
        this.pick = (selector) => root.querySelector(selector);
        this.pick("#graph-main").innerHTML = markup;
        this.#bind();
        this.#reflect();
        this.#open();
    }

    async start() {
        const [cytoscape] = await Promise.all([loadLibrary(), styled()]);
        if (!this.root.isConnected) return;
        this.view = new GraphView(cytoscape, this.pick("#graph-canvas"), this.pick("#graph-traffic"), {
            selected: (id) => this.select(id),
            placed: () => { this.root.dataset.placed = "true"; },
        });
        this.view.boxed = this.state.boxes;
        this.view.traffic.running = this.state.animation;
        this.view.topic(this.#topicName());
        this.view.relabel(this.state.labels);
        if (this.graph) this.#show({ whole: true });
        this.clock = setInterval(() => this.#notice(), 1000);
    }

    destroy() {
        clearInterval(this.clock);
        clearInterval(this.player);
        this.abort.abort();
        this.view?.destroy();
    }

    // From the stream.

    received(graph, change) {
        if (this.state.at) return;
        this.graph = graph;
        this.receivedAt = Date.now();
        this.#show(change);
    }

    connection(state) {
        this.connected = state === "open";
        this.#notice();
    }

    // What a person does.

    select(id) {
        this.state.selection = id;
        url.write({ sel: id });
        this.root.toggleAttribute("data-selected", Boolean(id));
        this.view?.highlight(id);
        this.setProps("graph-selection", { data: id });
        this.#table();
    }

    #bind() {
        this.abort = new AbortController();
        const { signal } = this.abort;
        this.root.addEventListener("click", (event) => this.#clicked(event), { signal });
        this.root.addEventListener("change", (event) => this.#changed(event), { signal });
        this.root.addEventListener("input", (event) => {
            if (event.target.id === "graph-find" || event.target.id === "graph-hide") this.#searched();
            if (event.target.id === "replay-at") this.#goTo(Number(event.target.value));
        }, { signal });
        document.addEventListener("keydown", (event) => this.#pressed(event), { signal });
        document.addEventListener("click", (event) => {
            for (const menu of this.root.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
        }, { signal });
    }

    #clicked(event) {
        const action = event.target.closest("[data-action]")?.dataset.action;
        const actions = {
            "zoom-in": () => this.view?.zoomBy(1.25),
            "zoom-out": () => this.view?.zoomBy(0.8),
            fit: () => this.#fit(),
            arrange: () => this.view?.arrangeAnew(),
            table: () => this.#setTable(!this.state.table),
            close: () => this.select(null),
            replay: () => this.#goTo(Date.now() - 10 * 60000),
            live: () => this.#goTo(null),
            play: () => this.#play(),
            "clear-find": () => this.#search("", this.state.hide),
        };
        actions[action]?.();
        const element = event.target.closest("[data-select]");
        if (element) this.select(element.dataset.select);
    }

    #changed(event) {
        const { target } = event;
        if (target.id === "graph-type") this.#setTopic({ type: target.value });
        if (target.id === "graph-window") this.#setTopic({ window: target.value });
        if (target.dataset.label) {
            this.state.labels[target.checked ? "add" : "delete"](target.dataset.label);
            this.#remember({ labels: [...this.state.labels].join(",") || "none" }, "labels");
            this.view?.relabel(this.state.labels);
        }
        if (target.dataset.display === "boxes") {
            this.state.boxes = target.checked;
            url.write({ boxes: target.checked ? null : "off" });
            this.view?.rebox(target.checked);
        }
        if (target.dataset.display === "animation") {
            this.state.animation = target.checked;
            url.write({ animation: target.checked ? null : "off" });
            if (this.view) {
                this.view.traffic.running = target.checked;
                this.view.traffic.moved = true;
            }
        }
        if (target.dataset.display === "idle") {
            this.state.idle = target.checked;
            url.write({ idle: target.checked ? null : "off" });
            this.#mark();
        }
        if (target.dataset.namespace) {
            this.state.hiddenNamespaces[target.checked ? "delete" : "add"](target.dataset.namespace);
            url.write({ without: [...this.state.hiddenNamespaces].join(",") });
            this.#mark();
        }
    }

    #pressed(event) {
        if (event.target.closest("input, textarea, select, [role=dialog]") || event.ctrlKey || event.metaKey || event.altKey) {
            if (event.key === "Escape" && event.target.matches("#graph-find, #graph-hide")) event.target.blur();
            return;
        }
        const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
        if (event.key in arrows && document.activeElement?.id === "graph-canvas") {
            event.preventDefault();
            this.view?.step(...arrows[event.key]);
        } else if (event.key === "/") {
            event.preventDefault();
            this.pick("#graph-find").focus();
        } else if (event.key === "Escape" && this.state.selection) this.select(null);
        else if (event.key === "f") this.#fit();
        else if (event.key === "t") this.#setTable(!this.state.table);
        else if (event.key === "+" || event.key === "=") this.view?.zoomBy(1.25);
        else if (event.key === "-") this.view?.zoomBy(0.8);
    }

    #fit() {
        if (!this.view) return;
        this.view.touched = false;
        this.view.fit();
    }

    #setTable(shown) {
        this.state.table = shown;
        url.write({ view: shown ? "table" : null });
        this.#reflect();
        this.#table();
        if (!shown) this.view?.cy.resize();
    }

    #searched() {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.#search(this.pick("#graph-find").value, this.pick("#graph-hide").value), 90);
    }

    #search(wanted, unwanted) {
        this.state.find = wanted;
        this.state.hide = unwanted;
        url.write({ find: wanted, hide: unwanted });
        this.pick("#graph-find").value = wanted;
        this.pick("#graph-hide").value = unwanted;
        this.#mark();
    }

    // Topics and time.

    #topicName() {
        return `${this.state.type}.${this.state.boxes ? "boxes" : "plain"}`;
    }

    #setTopic(changes) {
        const typeBefore = this.state.type;
        Object.assign(this.state, changes);
        for (const [name, value] of Object.entries(changes)) this.#remember({ [name]: value }, name);
        if (this.state.type !== typeBefore) {
            this.graph = null;
            this.select(null);
            this.view?.topic(this.#topicName());
        }
        this.#reflect();
        this.#open();
    }

    #remember(change, name) {
        url.write({ [name]: change[name] === DEFAULTS[name] ? null : change[name] });
    }

    #open() {
        this.setProps("graph-topic", { data: { type: this.state.type, window: Number(this.state.window), at: this.state.at } });
        if (this.state.at) this.#load(this.state.at);
        this.stream.open(this.state.type, Number(this.state.window));
    }

    async #goTo(at) {
        const bounded = at === null ? null : Math.min(Date.now() - REPLAY_STEP_MS, Math.max(Date.now() - REPLAY_REACH_MS, at));
        this.state.at = bounded;
        url.write({ at: bounded });
        clearTimeout(this.seeking);
        this.#reflect();
        if (bounded === null) {
            clearInterval(this.player);
            this.player = null;
            this.setProps("graph-topic", { data: { type: this.state.type, window: Number(this.state.window), at: null } });
            if (this.stream.graph) {
                this.graph = this.stream.graph;
                this.#show({ whole: true });
            }
            return;
        }
        this.seeking = setTimeout(() => this.#open(), 120);
    }

    async #load(at) {
        const response = await fetch(`/api/v1/graph?type=${this.state.type}&window=${this.state.window}&at=${at}`);
        if (this.state.at !== at) return;
        if (!response.ok) {
            const problem = await response.json().catch(() => ({}));
            this.pastProblem = problem.message || problem.detail || `No history at ${format.clock(at)}.`;
        } else {
            this.pastProblem = null;
            this.graph = fromSnapshot(await response.json());
            this.#show({ whole: true });
        }
        this.#notice();
    }

    #play() {
        if (this.player) {
            clearInterval(this.player);
            this.player = null;
        } else {
            this.player = setInterval(() => {
                if (this.state.at + REPLAY_STEP_MS > Date.now() - REPLAY_STEP_MS) this.#goTo(null);
                else this.#goTo(this.state.at + REPLAY_STEP_MS);
            }, 1000);
        }
        this.#reflect();
    }

    // What is shown.

    #show(change) {
        if (!this.graph) return;
        if (this.view) {
            this.view.show(this.graph, change);
            if (change.whole) this.view.highlight(this.state.selection);
        }
        if (change.whole || change.message.nodes.length) this.#namespaces();
        this.#mark();
        this.#notice();
    }

    #mark() {
        if (!this.graph) return;
        const found = new Set();
        const hidden = new Set();
        const wanted = this.#query("#graph-find", this.state.find);
        const unwanted = this.#query("#graph-hide", this.state.hide);
        const { nodes, edges } = this.graph;
        for (const node of nodes.values()) {
            if (unwanted?.node(node) || this.state.hiddenNamespaces.has(node.namespace)) hidden.add(node.id);
        }
        const connected = new Set();
        for (const edge of edges.values()) {
            const idle = !this.state.idle && edge.presence === "idle";
            if (unwanted?.edge(edge) || idle || hidden.has(edge.source) || hidden.has(edge.target)) hidden.add(edge.id);
            else connected.add(edge.source).add(edge.target);
        }
        for (const node of nodes.values()) {
            const lost = (this.state.hide || !this.state.idle) && !connected.has(node.id) && (node.in || node.out || !this.state.idle);
            if (lost) hidden.add(node.id);
        }
        for (const node of nodes.values()) if (wanted?.node(node) && !hidden.has(node.id)) found.add(node.id);
        for (const edge of edges.values()) if (wanted?.edge(edge) && !hidden.has(edge.id)) found.add(edge.id);
        this.hidden = hidden;
        this.found = found;
        const count = this.pick("#graph-found");
        count.hidden = !this.state.find;
        count.textContent = String(found.size);
        this.view?.mark({ found, hidden });
        this.#totals();
        this.#table();
    }

    #query(selector, text) {
        const input = this.pick(selector);
        const field = input.closest(".field");
        const help = this.pick("#graph-query-problem");
        if (selector === "#graph-find") help.hidden = true;
        try {
            field.classList.remove("invalid");
            input.removeAttribute("aria-invalid");
            return text.trim() ? find.parse(text) : null;
        } catch (problem) {
            if (!(problem instanceof find.QueryError)) throw problem;
            field.classList.add("invalid");
            input.setAttribute("aria-invalid", "true");
            help.hidden = false;
            help.lastElementChild.textContent = problem.message;
            return null;
        }
    }

    #totals() {
        const edges = [...this.graph.edges.values()].filter((edge) => !this.hidden.has(edge.id));
        const nodes = [...this.graph.nodes.values()].filter((node) => !this.hidden.has(node.id));
        const sources = new Set(edges.map((edge) => edge.target));
        // Requests that enter the graph: those of nodes that nobody here calls.
        const entering = edges.filter((edge) => !sources.has(edge.source));
        const total = entering.reduce((sum, edge) => sum + (edge.rate || 0), 0);
        const failed = entering.reduce((sum, edge) => sum + (edge.rate || 0) * (edge.errorRatio || 0), 0);
        const values = { nodes: nodes.length, edges: edges.length, rate: format.rate(total), errors: total ? format.percent(failed / total) : "–" };
        for (const [name, value] of Object.entries(values)) {
            const slot = this.pick(`[data-total="${name}"]`);
            if (slot.textContent !== String(value)) slot.textContent = value;
        }
        const failing = nodes.filter((node) => node.health === "failure" || node.health === "degraded");
        const names = failing.map((node) => format.nodeName(node));
        const sentence = `${nodes.length} nodes, ${edges.length} edges. ${names.length ? `In trouble: ${names.sort().join(", ")}.` : "Nothing is failing."}`;
        const summary = this.pick("#graph-summary");
        if (summary.textContent !== sentence) summary.textContent = sentence;
    }

    #table() {
        if (!this.state.table || !this.graph || !this.hidden) return;
        renderTable(this.pick("#graph-table"), this.graph, { hidden: this.hidden, selection: this.state.selection, select: (id) => this.select(id) });
    }

    #namespaces() {
        const names = [...new Set([...this.graph.nodes.values()].map((node) => node.namespace).filter(Boolean))].sort();
        const key = names.join();
        if (this.namespaceKey === key) return;
        this.namespaceKey = key;
        this.pick("#graph-namespaces").replaceChildren(...names.map((name) => {
            const label = document.createElement("label");
            const box = document.createElement("input");
            box.type = "checkbox";
            box.dataset.namespace = name;
            box.checked = !this.state.hiddenNamespaces.has(name);
            label.append(box, name);
            return label;
        }));
    }

    /** One true sentence about the picture's age, or none when it is fresh. */
    #notice() {
        const notice = this.pick("#graph-notice");
        const empty = this.pick("#graph-empty");
        let text = "";
        if (this.state.at) text = this.pastProblem || "";
        else if (this.connected === false) text = this.graph ? `Connection lost. This is the state of ${format.clock(this.graph.at)}; trying again …` : "The server does not answer; trying again …";
        else if (this.graph && Date.now() - this.receivedAt > STALE_MS) text = `No news for ${format.ago(Date.now() - this.receivedAt)}. This is the state of ${format.clock(this.graph.at)}.`;
        notice.hidden = !text;
        if (notice.lastElementChild.textContent !== text) notice.lastElementChild.textContent = text;
        empty.hidden = !(this.graph && this.graph.nodes.size === 0);
        this.pick("#graph-loading").hidden = Boolean(this.graph) || Boolean(text);
        const stamp = this.pick("#replay-time");
        if (this.state.at) stamp.textContent = new Date(this.state.at).toLocaleTimeString();
    }

    /** Puts the state into the controls. */
    #reflect() {
        const { state } = this;
        this.pick("#graph-type").value = state.type;
        this.pick("#graph-window").value = state.window;
        for (const box of this.root.querySelectorAll("[data-label]")) box.checked = state.labels.has(box.dataset.label);
        this.pick('[data-display="boxes"]').checked = state.boxes;
        this.pick('[data-display="animation"]').checked = state.animation;
        this.pick('[data-display="idle"]').checked = state.idle;
        this.pick("#graph-find").value = state.find;
        this.pick("#graph-hide").value = state.hide;
        this.pick('[data-action="table"]').setAttribute("aria-pressed", String(state.table));
        this.pick("#graph-table").hidden = !state.table;
        this.pick("#graph-canvas").style.visibility = state.table ? "hidden" : "";
        for (const floating of this.root.querySelectorAll("#graph-traffic, .legend, .graph-foot")) floating.hidden = state.table;
        this.pick(".replay").hidden = !state.at;
        this.pick('[data-action="replay"]').setAttribute("aria-pressed", String(Boolean(state.at)));
        if (state.at) {
            const slider = this.pick("#replay-at");
            slider.min = Date.now() - REPLAY_REACH_MS;
            slider.max = Date.now() - REPLAY_STEP_MS;
            slider.step = REPLAY_STEP_MS;
            slider.value = state.at;
            slider.setAttribute("aria-valuetext", new Date(state.at).toLocaleTimeString());
            this.pick('[data-action="play"]').setAttribute("aria-pressed", String(Boolean(this.player)));
        }
        this.root.toggleAttribute("data-selected", Boolean(state.selection));
        this.setProps("graph-selection", { data: state.selection });
        this.#notice();
    }
}

function restored() {
    const query = url.read();
    const labels = query.get("labels") || DEFAULTS.labels;
    return {
        type: query.get("type") || DEFAULTS.type,
        window: query.get("window") || DEFAULTS.window,
        labels: new Set(labels === "none" ? [] : labels.split(",")),
        find: query.get("find") || "",
        hide: query.get("hide") || "",
        selection: query.get("sel"),
        table: query.get("view") === "table",
        boxes: query.get("boxes") !== "off",
        animation: query.get("animation") !== "off",
        idle: query.get("idle") !== "off",
        hiddenNamespaces: new Set((query.get("without") || "").split(",").filter(Boolean)),
        at: Number(query.get("at")) || null,
    };
}
