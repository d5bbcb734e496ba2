// The fields Find and Hide: what they match, and what is wrong with what was typed.

import * as find from "./find.js";

const PAUSE_MS = 90;

export class Search {
    /** `changed(find, hide)` when a person has typed something new. */
    constructor(root, changed) {
        this.fields = { find: root.querySelector("#graph-find"), hide: root.querySelector("#graph-hide") };
        this.count = root.querySelector("#graph-found");
        this.changed = changed;
        root.addEventListener("input", (event) => {
            if (Object.values(this.fields).includes(event.target)) this.#later();
        });
    }

    put({ find: wanted, hide }) {
        for (const [field, text] of [[this.fields.find, wanted], [this.fields.hide, hide]]) {
            if (field.value.trim() !== text) field.value = text; // a blank at the end is being typed on
        }
    }

    /** Adds an example to what stands in Find, as the person would have typed it. */
    example(text) {
        this.fields.find.value = text;
        this.fields.find.focus();
        this.#later();
    }

    #later() {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.changed(this.fields.find.value.trim(), this.fields.hide.value.trim()), PAUSE_MS);
    }

    /** Which elements of a graph are found and which are hidden. */
    marks(graph, state) {
        const whole = { ...graph, namespaces: shownNamespaces(graph, state) };
        const wanted = this.#query("find", state.find, whole);
        const unwanted = this.#query("hide", state.hide, whole);
        const hidden = hiddenIn(graph, state, unwanted);
        const found = new Set();
        for (const node of graph.nodes.values()) if (wanted?.node(node) && !hidden.has(node.id)) found.add(node.id);
        for (const edge of graph.edges.values()) if (wanted?.edge(edge) && !hidden.has(edge.id)) found.add(edge.id);
        this.count.hidden = !wanted;
        this.count.textContent = String(found.size);
        return { found, hidden };
    }

    #query(name, text, whole) {
        try {
            this.#say(name, null);
            return text ? find.parse(text, whole) : null;
        } catch (problem) {
            if (!(problem instanceof find.QueryError)) throw problem;
            this.#say(name, problem, text);
            return null;
        }
    }

    /** Below the field: the text, a mark under the character that is wrong, and what to write instead. */
    #say(name, problem, text) {
        const input = this.fields[name];
        const place = input.closest(".field").querySelector(".field-problem");
        input.closest(".field").classList.toggle("invalid", Boolean(problem));
        place.hidden = !problem;
        if (problem) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
        const pointed = problem ? `${text}\n${" ".repeat(problem.position)}^` : "";
        if (place.firstElementChild.textContent !== pointed) place.firstElementChild.textContent = pointed;
        const sentence = problem ? `At character ${problem.position + 1}: ${short(problem.message)}` : "";
        if (place.lastElementChild.textContent !== sentence) place.lastElementChild.textContent = sentence;
    }
}

/** Without the list of all words, which the help beside the fields holds; instead the one that was probably meant. */
function short(message) {
    const [what, words] = message.split("; there are ");
    if (!words) return `${message}.`;
    const typed = what.match(/'(.*)'/)[1].toLowerCase();
    const [nearest] = words.split(", ").map((word) => [distance(typed, word), word]).sort(([a], [b]) => a - b);
    return nearest[0] <= 3 ? `${what}; did you mean ${nearest[1]}?` : `${what}; the help beside it lists all.`;
}

/** How many letters must be put in, taken away or changed to make one word of another. */
function distance(some, other) {
    let above = [...other, ""].map((_, index) => index);
    for (const [row, letter] of [...some].entries()) {
        const line = [row + 1];
        for (const [column, wanted] of [...other].entries()) {
            line.push(Math.min(line[column] + 1, above[column + 1] + 1, above[column] + (letter === wanted ? 0 : 1)));
        }
        above = line;
    }
    return above.at(-1);
}

/** The namespaces a person chose; none where all are shown. */
export function shownNamespaces(graph, { hiddenNamespaces }) {
    if (!hiddenNamespaces.size) return [];
    const names = new Set([...graph.nodes.values()].map((node) => node.namespace));
    return [...names].filter((name) => !hiddenNamespaces.has(name));
}

/** As the API's parameter `namespaces`: what lies neither in these namespaces nor talks to what does. */
function beyond(graph, state) {
    if (!state.hiddenNamespaces.size) return new Set();
    const chosen = new Set(shownNamespaces(graph, state));
    const isOwn = (id) => chosen.has(graph.nodes.get(id)?.namespace);
    const far = new Set([...graph.nodes.keys()].filter((id) => !isOwn(id)));
    for (const { id, source, target } of graph.edges.values()) {
        if (!isOwn(source) && !isOwn(target)) far.add(id);
        else for (const end of [source, target]) far.delete(end);
    }
    return far;
}

function hiddenIn(graph, state, unwanted) {
    const hidden = beyond(graph, state);
    for (const node of graph.nodes.values()) if (unwanted?.node(node)) hidden.add(node.id);
    const connected = new Set();
    for (const edge of graph.edges.values()) {
        const idle = !state.idle && edge.presence === "idle";
        if (unwanted?.edge(edge) || idle || hidden.has(edge.id) || hidden.has(edge.source) || hidden.has(edge.target)) hidden.add(edge.id);
        else connected.add(edge.source).add(edge.target);
    }
    for (const node of graph.nodes.values()) {
        const lost = (state.hide || !state.idle) && !connected.has(node.id) && (node.in || node.out || !state.idle);
        if (lost) hidden.add(node.id);
    }
    return hidden;
}
