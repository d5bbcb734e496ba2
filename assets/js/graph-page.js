// The traffic graph page: what a person chose (the state), the graph it is about, and where it is shown.

import { boxed, condensed, namespaces } from "./graph-boxes.js";
import { Comparing } from "./graph-compare.js";
import { Controls } from "./graph-controls.js";
import { exported } from "./graph-export.js";
import { dependants, near } from "./graph-focus.js";
import { Latencies } from "./graph-latency.js";
import { markup } from "./graph-markup.js";
import { Menu } from "./graph-menu.js";
import { Replay } from "./graph-replay.js";
import { Search, shownNamespaces } from "./graph-search.js";
import { differing, remember, rephrase, restored } from "./graph-state.js";
import { styled } from "./graph-style.js";
import { Summary } from "./graph-summary.js";
import { GraphView, loadLibrary } from "./graph-view.js";
import { WindowPicker } from "./graph-window.js";
import { criticalPath, onPath } from "./graph-trace.js";
import { past } from "./moments.js";

const NOTHING = new Set();
const PATHS = new Set(["/", "/graph"]);
const CROWDED = 160;
const STREAMED_S = 3600;
const ASKED_EVERY_MS = 20000;

/** What each part of the state needs when it changes: another graph, or only another picture of it. */
const ANOTHER_GRAPH = new Set(["type", "window", "at", "from"]);
const ANOTHER_LAYOUT = new Set(["type", "boxes", "shut", "focus", "up", "down"]);
/** What belongs to one graph type only. */
const LEFT = { selection: null, focus: null, blast: null, trace: null, light: null, shut: null };
/** One thing at a time stands out. */
const UNLIT = { blast: null, trace: null, light: null };

export class GraphPage {
    /** `root` is the page's element; `stream` carries the live graph; `setProps` reaches Dash. */
    constructor(root, stream, setProps) {
        this.root = root;
        this.stream = stream;
        this.setProps = setProps;
        this.state = restored();
        rephrase({ at: this.state.at, window: this.state.window });
        this.graph = null;
        this.trail = [];
        this.pick = (selector) => root.querySelector(selector);
        this.pick("#graph-main").innerHTML = markup;
        this.#parts(Number(root.dataset.oldest) || Date.now(), Number(root.dataset.since) || Date.now());
        this.#bind();
        this.#reflect();
        this.#open();
    }

    #parts(oldestMs, sinceMs) {
        const { root } = this;
        this.search = new Search(root, (find, hide) => this.set({ find, hide }));
        this.windows = new WindowPicker(root, oldestMs, (window) => this.set({ window }));
        this.replay = new Replay(root, { oldestMs, sinceMs }, (changes) => this.set(changes));
        this.comparing = new Comparing(root, { oldestMs, sinceMs }, (from) => this.set({ from }));
        this.controls = new Controls(root, this);
        this.summary = new Summary(root);
        this.menu = new Menu(this.pick("#graph-menu"));
        this.latencies = new Latencies(() => this.#draw());
    }

    async start() {
        const [cytoscape] = await Promise.all([loadLibrary(), styled()]);
        if (!this.root.isConnected) return;
        const places = { container: this.pick("#graph-canvas"), crowd: this.pick("#graph-crowd"), overlay: this.pick("#graph-traffic"), tip: this.pick("#graph-tip") };
        this.view = new GraphView(cytoscape, places, {
            selected: (id) => this.select(id),
            opened: (id) => this.opened(id),
            asked: (id, place) => this.openMenu(id, place),
            placed: () => { this.root.dataset.placed = "true"; },
            moved: (camera) => {
                this.state.camera = camera;
                rephrase({ camera });
            },
        });
        this.#topic();
        this.#reflect();
        this.#draw();
        if (this.state.trace) this.#trace();
        this.clock = setInterval(() => this.notice(), 1000);
    }

    destroy() {
        clearInterval(this.clock);
        clearInterval(this.asking);
        this.replay.stop();
        this.abort.abort();
        this.view?.destroy();
    }

    // From the stream.

    received(graph) {
        if (!this.isLive || Number(this.state.window) > STREAMED_S) return;
        this.receivedAt = Date.now();
        this.#show(graph);
    }

    connection(state) {
        this.connected = state === "open";
        this.notice();
    }

    get isLive() {
        return !this.state.at && !this.state.from;
    }

    // What a person does.

    /** Changes some of the state and remembers it in the address. Resolves when it is shown. */
    set(changes) {
        const isAnother = "type" in changes && changes.type !== this.state.type;
        const isLaidOut = Object.keys(changes).some((name) => ANOTHER_LAYOUT.has(name));
        const whole = { ...(isAnother && LEFT), ...(isLaidOut && { camera: null }), ...changes };
        remember(whole);
        return this.#follow(whole);
    }

    /** Shows what the address says now; false where that is another page. */
    revisit() {
        this.isLeft ||= !PATHS.has(location.pathname) || !this.root.isConnected;
        if (this.isLeft) return false;
        this.replay.stop();
        this.#follow(differing(this.state, restored()));
        return true;
    }

    /** What follows from a change of the state is done here and nowhere else. */
    #follow(changes) {
        Object.assign(this.state, changes);
        const names = Object.keys(changes);
        if (names.includes("type")) this.graph = null;
        if (names.some((name) => ANOTHER_LAYOUT.has(name))) this.#topic();
        else if (names.includes("labels") && this.view && !this.view.hasRoom(this.state.labels)) this.#topic();
        else if (names.includes("camera")) this.view?.look(this.state.camera);
        this.#reflect();
        if (changes.trace) this.#trace();
        if (names.some((name) => ANOTHER_GRAPH.has(name))) return this.#open();
        this.#draw();
        return null;
    }

    select(id) {
        const selection = id?.startsWith("shut:") ? id.slice(5) : this.graph?.edges.has(id) || this.graph?.nodes.has(id) ? id : this.#standIn(id);
        if (selection !== this.state.selection) remember({ selection });
        this.state.selection = selection;
        this.view?.highlight(id);
        this.#selected();
        this.summary.table(this);
    }

    /** Edges that are several at once are told about by the box they come from. */
    #standIn(id) {
        return this.view?.graph?.edges.get(id)?.via?.slice(5) || id;
    }

    /** By a double click: shut boxes open, open ones shut, nodes get the picture to themselves. */
    opened(id) {
        if (id.startsWith("shut:")) this.turn(id.slice(5), false);
        else if (this.view.graph.boxes.has(id)) this.turn(id, true);
        else this.focus(id);
    }

    turn(box, isShut) {
        const shut = new Set(this.shut);
        shut[isShut ? "add" : "delete"](box);
        this.set({ shut });
    }

    focus(id) {
        this.set({ focus: id, blast: null });
    }

    /** Highlights who depends on a node (`blast`), where a trace's time went (`trace`), some elements (`light`), or nothing. */
    light(what) {
        this.set({ ...UNLIT, ...what });
    }

    get isLit() {
        return Object.keys(UNLIT).some((name) => this.state[name]);
    }

    openMenu(id, place) {
        const entries = this.controls.entriesFor(id);
        if (!entries.length) return;
        this.view.tip.hide();
        this.menu.open(entries, place);
    }

    export(format) {
        if (this.graph) exported(format, this.state, this.graph, this.view);
    }

    #bind() {
        this.abort = new AbortController();
        this.controls.bind(this.abort.signal);
    }

    #selected() {
        this.root.toggleAttribute("data-selected", Boolean(this.state.selection));
        this.setProps("graph-selection", { data: this.state.selection });
    }

    // Which graph.

    get shut() {
        return this.state.shut || (this.crowded ? namespaces(this.graph.nodes) : new Set());
    }

    #topic() {
        const { type, boxes, focus, shut, camera } = this.state;
        const passing = Boolean(focus || shut || this.crowded);
        if (this.view) this.view.labels = this.state.labels;
        this.view?.topic(`${type}.${[...boxes].join("")}`, passing);
        this.view?.look(camera);
    }

    /** The nodes that were focused on, until the one that is. */
    #extendTrail() {
        const { focus } = this.state;
        if (!focus) this.trail = [];
        else if (this.trail.includes(focus)) this.trail.length = this.trail.indexOf(focus) + 1;
        else this.trail.push(focus);
    }

    /** Tells Dash and the stream what is looked at, and shows it. */
    async #open() {
        const { type, window, at, from } = this.state;
        clearInterval(this.asking);
        this.stream.open(type, Math.min(Number(window), STREAMED_S));
        if (from) return this.#compare();
        this.#tellPanel(null);
        if (at) return this.#load();
        this.problem = "";
        if (Number(window) > STREAMED_S) {
            this.asking = setInterval(() => {
                this.#tellPanel(null);
                this.#load();
            }, ASKED_EVERY_MS);
            return this.#load();
        }
        if (this.stream.graph?.type === type && this.stream.graph.window === Number(window)) this.received(this.stream.graph);
        return null;
    }

    #tellPanel(moments) {
        const { type, window, at } = this.state;
        if (typeof at === "string") return; // no instant: the picture says what is wrong with it
        // The past stays as it was: the panel needs no pulse.
        if (this.isLive && Number(window) <= STREAMED_S) this.root.dataset.pulse = "graph-pulse";
        else delete this.root.dataset.pulse;
        this.setProps("graph-topic", { data: { type, window: Number(window), at, moments } });
    }

    async #load() {
        await this.#unlessChanged(() => past(this.state), ({ graph }) => graph);
    }

    async #compare() {
        await this.#unlessChanged(() => this.comparing.load(this.state), ({ graph, moments }) => {
            this.#tellPanel(moments);
            return graph;
        });
    }

    /** Shows what is fetched unless another graph has been asked for meanwhile. */
    async #unlessChanged(fetched, taken) {
        const { state } = this;
        const asked = [...ANOTHER_GRAPH].map((name) => state[name]).join();
        const isAsked = () => asked === [...ANOTHER_GRAPH].map((name) => state[name]).join() && this.root.isConnected;
        try {
            const answer = await fetched();
            if (!isAsked()) return;
            this.problem = "";
            this.receivedAt = Date.now();
            this.#show(taken(answer));
        } catch (problem) {
            if (!isAsked()) return;
            this.problem = problem.message;
            this.notice();
        }
    }

    // What is shown.

    #show(graph) {
        const isFirst = !this.graph;
        this.graph = graph;
        const crowded = graph.nodes.size > CROWDED;
        if (isFirst && crowded !== Boolean(this.crowded)) {
            this.crowded = crowded;
            this.#topic();
        }
        this.controls.namespaces(graph);
        this.#draw();
        this.notice();
    }

    #draw() {
        const { graph, state } = this;
        if (!graph) return;
        const { found, hidden } = this.search.marks(graph, state);
        this.found = found;
        this.hidden = hidden;
        const part = state.focus && graph.nodes.has(state.focus) ? near(graph, state.focus, state.up, state.down) : graph;
        this.part = part;
        if (this.view) {
            const shut = state.focus ? NOTHING : this.shut;
            if (!state.from) this.latencies.follow(state, shut, shownNamespaces(graph, state), graph.revision);
            const { nodes, edges, stand } = condensed(part, shut, hidden, (id) => this.latencies.of(id));
            const lit = this.#lit(part);
            const drawn = (ids) => new Set([...ids].map((id) => stand.get(id) || id));
            this.view.show({ nodes, edges, ...boxed(nodes, state.boxes) });
            this.view.mark({ found: drawn(found), hidden, lit: lit && drawn(lit) });
            this.view.highlight(state.selection && (stand.get(state.selection) || (nodes.has(`shut:${state.selection}`) ? `shut:${state.selection}` : state.selection)));
        }
        this.summary.put(this);
        this.summary.trail(this);
    }

    /** What stands out from a faded rest; null: nothing fades. */
    #lit(part) {
        if (this.state.blast && part.nodes.has(this.state.blast)) return dependants(part, this.state.blast);
        return this.state.trace && this.path ? onPath(this.path, part) : this.state.light;
    }

    async #trace() {
        const { trace } = this.state;
        this.path = null;
        try {
            const path = trace && await criticalPath(trace);
            if (trace === this.state.trace) this.path = path;
        } catch (problem) {
            this.problem = problem.message;
            this.notice();
        }
        this.#draw();
    }

    notice() {
        this.root.toggleAttribute("data-unknown", Boolean(this.problem) && !this.isLive);
        this.summary.notice(this);
        this.windows.put(this.state.window);
    }

    /** Puts the state into the controls. */
    #reflect() {
        const { state } = this;
        this.controls.put(state);
        this.search.put(state);
        this.replay.put(state);
        this.comparing.put(state.from);
        this.#extendTrail();
        this.summary.trail(this);
        if (this.view) {
            this.view.traffic.running = state.animation && !state.from;
            this.view.traffic.moved = true;
            this.view.relabel(state.labels);
        }
        this.#selected();
        this.notice();
    }
}
