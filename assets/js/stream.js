// The live graph of one topic: a snapshot, then differences. A gap asks for a new snapshot.

const RETRY_FIRST_MS = 400;
const RETRY_LIMIT_MS = 8000;

export class Stream {
    /** `changed(graph)` after each message, `connection(state)` with "open" or "closed". */
    constructor({ changed, connection }) {
        this.changed = changed;
        this.connection = connection;
        this.graph = null;
        this.socket = null;
        this.retryMs = RETRY_FIRST_MS;
    }

    open(type, windowS) {
        if (this.topic && this.topic.type === type && this.topic.window === windowS && this.socket) return;
        this.topic = { type, window: windowS };
        this.retryMs = RETRY_FIRST_MS;
        this.#connect();
    }

    close() {
        clearTimeout(this.timer);
        this.topic = null;
        this.#drop();
    }

    #drop() {
        if (!this.socket) return;
        const { socket } = this;
        socket.onclose = socket.onmessage = null;
        // Closing one that is still connecting would be logged as a failure.
        if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
        else socket.close();
        this.socket = null;
    }

    #connect() {
        clearTimeout(this.timer);
        this.#drop();
        const scheme = location.protocol === "https:" ? "wss" : "ws";
        const { type, window } = this.topic;
        const socket = new WebSocket(`${scheme}://${location.host}/api/v1/stream?type=${type}&window=${window}`);
        this.socket = socket;
        socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
        socket.onclose = () => {
            this.socket = null;
            this.connection("closed");
            // Spread the returns of many browsers after a restart.
            this.timer = setTimeout(() => this.#connect(), this.retryMs * (0.8 + Math.random() * 0.4));
            this.retryMs = Math.min(this.retryMs * 1.7, RETRY_LIMIT_MS);
        };
    }

    #receive(message) {
        if (message.type === "snapshot") {
            this.retryMs = RETRY_FIRST_MS;
            this.graph = fromSnapshot(message);
            this.connection("open");
            this.changed(this.graph);
        } else if (message.type === "delta") {
            if (!this.graph || message.from !== this.graph.revision) {
                this.#connect();
                return;
            }
            fold(this.graph, message);
            this.changed(this.graph);
        }
    }
}

export function fromSnapshot(message) {
    return {
        type: message.graph,
        window: message.window,
        revision: message.revision,
        at: message.at,
        nodes: new Map(message.nodes.map((node) => [node.id, node])),
        edges: new Map(message.edges.map((edge) => [edge.id, edge])),
    };
}

function fold(graph, delta) {
    for (const id of delta.goneNodes) graph.nodes.delete(id);
    for (const id of delta.goneEdges) graph.edges.delete(id);
    for (const node of delta.nodes) graph.nodes.set(node.id, node);
    for (const edge of delta.edges) graph.edges.set(edge.id, edge);
    graph.revision = delta.to;
    graph.at = delta.at;
}
