// Kiali's find and hide language, evaluated in the browser so that it follows every change at once.
// A port of graph/query; tests/browser/test_find_language.py holds the two together.

const MAX_LENGTH = 2000;
const MAX_DEPTH = 50;

const STRANGERS = ["unknown", "probe", "scraper", "outside"];
const SHORT_KINDS = { workload: "wl", service: "svc", operation: "op" };
const KINDS = [
    ...["workload", "app", "service", "gateway", "database", "queue", "operation", "external", "passthrough", "blackhole"],
    ...STRANGERS, ...Object.values(SHORT_KINDS),
];

const badge = (name) => (node) => node.badges.includes(name);
const kind = (name) => (node) => node.kind === name;
const inbound = (protocol) => (node, whole) => whole.inbound(node.id, protocol);
const outbound = (protocol) => (node, whole) => whole.outbound(node.id, protocol);

const NODE_TEXTS = {
    name: (node) => [node.label, node.app, node.workload, node.service],
    namespace: (node) => node.namespace,
    cluster: (node) => node.cluster,
    app: (node) => node.app,
    version: (node) => node.version,
    workload: (node) => node.workload,
    service: (node) => node.service,
    operation: (node) => (node.kind === "operation" ? node.label : ""),
    node: (node) => [node.kind, STRANGERS.includes(node.kind) ? "unknown" : SHORT_KINDS[node.kind] || node.kind],
    health: (node) => node.health,
    principal: (node) => node.principals,
};

const NODE_NUMBERS = {
    replicas: (node) => node.replicas,
    rank: (node, whole) => whole.rank(node.id),
    in: (node) => node.in?.rate ?? null,
    out: (node) => node.out?.rate ?? null,
    httpin: inbound("http"),
    httpout: outbound("http"),
    grpcin: inbound("grpc"),
    grpcout: outbound("grpc"),
    tcpin: inbound("tcp"),
    tcpout: outbound("tcp"),
};

const NODE_FLAGS = {
    healthy: (node) => ["healthy", "idle", "not_ready"].includes(node.health),
    degraded: (node) => node.health === "degraded",
    failure: (node) => node.health === "failure",
    idle: (node) => !node.in && !node.out,
    dead: (node) => node.replicas === 0,
    unknown: (node) => STRANGERS.includes(node.kind),
    external: (node) => ["external", "passthrough", "blackhole"].includes(node.kind),
    outside: (node, whole) => whole.namespaces.size > 0 && node.namespace !== "unknown" && !whole.namespaces.has(node.namespace),
    inaccessible: (node) => node.namespace === "unknown" || ["passthrough", "blackhole"].includes(node.kind) || node.badges.includes("inaccessible"),
    database: kind("database"),
    gateway: kind("gateway"),
    trafficsource: (node) => Boolean(node.out) && !node.in,
    virtualservice: badge("virtual-service"),
    requestrouting: badge("request-routing"),
    trafficshifting: badge("traffic-shifting"),
    tcptrafficshifting: badge("tcp-traffic-shifting"),
    circuitbreaker: badge("circuit-breaker"),
    faultinjection: badge("fault-injection"),
    requesttimeout: badge("timeout"),
    mirroring: badge("mirroring"),
    outofmesh: badge("no-sidecar"),
    workloadentry: badge("workload-entry"),
};

const EDGE_TEXTS = {
    protocol: (edge) => edge.protocol,
    code: (edge) => Object.keys(edge.codes),
    flags: (edge) => Object.keys(edge.flags),
    sourceprincipal: (edge) => edge.principals.map(([source]) => source),
    destprincipal: (edge) => edge.principals.map(([, target]) => target),
};

const of = (protocol, read) => (edge, whole) => (edge.protocol === protocol ? read(edge, whole) : null);
const rate = (edge) => edge.rate;
// Exact to the digits that the server sends and compares: 100 times 0.07 is a little more than 7.
const percent = (edge) => rounded(100 * edge.errorRatio, 4);
const bytes = (edge) => rounded(edge.sent + edge.received, 1);
const throughput = (edge) => rounded(bytes(edge) + edge.throughput[0] + edge.throughput[1], 1);
const share = (edge, whole) => whole.percentOfSource(edge);

const EDGE_NUMBERS = {
    rate,
    http: of("http", rate),
    grpc: of("grpc", rate),
    tcp: of("tcp", bytes),
    "%err": percent,
    "%httperr": of("http", percent),
    "%grpcerr": of("grpc", percent),
    "%httptraffic": of("http", share),
    "%grpctraffic": of("grpc", share),
    p50: (edge) => edge.p50,
    p95: (edge) => edge.p95,
    p99: (edge) => edge.p99,
    throughput,
};

const EDGE_FLAGS = {
    mtls: (edge) => Boolean(edge.mtls),
    traffic: (edge) => edge.presence !== "idle",
    stale: (edge) => edge.presence === "stale",
    unhealthy: (edge) => edge.health === "degraded" || edge.health === "failure",
};

/** What numbers are, with examples, and by unit in small letters how many of the operand's own one of it is. */
const COUNT = { kind: "a number, as in 5 or 0.5", factors: {} };
const PERCENT = { kind: "a percentage, as in 5 or 0.5%", factors: { "%": 1 } };
const MILLISECONDS = { kind: "a length of time, as in 250, 250ms or 1.5s", factors: { ms: 1, us: 0.001, "µs": 0.001, s: 1e3, min: 6e4 } };
const PER_SECOND = { kind: "a rate per second, as in 500, 10k or 1.5M", factors: { "/s": 1, k: 1e3, m: 1e6, "k/s": 1e3, "m/s": 1e6 } };
const BYTES_PER_SECOND = {
    kind: "bytes per second, as in 500, 64kB or 1.5MB/s",
    factors: Object.fromEntries(Object.entries({ "": 1, k: 1e3, m: 1e6, g: 1e9 }).flatMap(([prefix, factor]) =>
        ["b/s", "b", "/s", ""].map((unit) => [prefix + unit, factor]))),
};
const UNITS = Object.fromEntries([
    [PER_SECOND, ["in", "out", "httpin", "httpout", "grpcin", "grpcout", "rate", "http", "grpc"]],
    [BYTES_PER_SECOND, ["tcpin", "tcpout", "tcp", "throughput"]],
    [PERCENT, ["%err", "%httperr", "%grpcerr", "%httptraffic", "%grpctraffic"]],
    [MILLISECONDS, ["p50", "p95", "p99"]],
].flatMap(([unit, names]) => names.map((name) => [name, unit])));

/** By its name: of nodes or edges, text, number or flag, how to read it, and the unit of a number. */
const OPERANDS = Object.fromEntries(
    [
        ["node", "text", NODE_TEXTS], ["node", "number", NODE_NUMBERS], ["node", "flag", NODE_FLAGS],
        ["edge", "text", EDGE_TEXTS], ["edge", "number", EDGE_NUMBERS], ["edge", "flag", EDGE_FLAGS],
    ].flatMap(([subject, type, table]) => Object.entries(table).map(([name, read]) => [name, { subject, type, read, unit: UNITS[name] || COUNT }])),
);
OPERANDS.node.values = KINDS;
OPERANDS.health.values = ["failure", "degraded", "not_ready", "healthy", "idle"];
OPERANDS.protocol.values = ["http", "grpc", "tcp"];

/** Every word of the language, for its help. */
export const WORDS = [...Object.keys(OPERANDS), "label:…"];

const ALIASES = {
    ns: "namespace", wl: "workload", svc: "service", op: "operation", rps: "rate", err: "%err", "%error": "%err",
    "%httperror": "%httperr", "%grpcerror": "%grpcerr", rt: "p95", responsetime: "p95", root: "trafficsource", outsider: "outside",
    vs: "virtualservice", rr: "requestrouting", ts: "trafficshifting", tcpts: "tcptrafficshifting", cb: "circuitbreaker",
    fi: "faultinjection", rto: "requesttimeout", om: "outofmesh", sidecar: "outofmesh", sc: "outofmesh", se: "external",
    serviceentry: "external", we: "workloadentry", db: "database",
};

const TOKEN = /\s*(?:(?<mark>[()])|(?<operator>!?[*^$]=|=~|!~|!=|>=|<=|==|[=<>])|(?<bang>!)|"(?<quoted>[^"]*)"|'(?<single>[^']*)'|(?<word>[^\s()=!<>*^$"]+|[*^$]))/y;

const ORDER = { "=": (a, b) => a === b, "!=": (a, b) => a !== b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b };
const LIKE = { "=": (text, part) => text === part, "*=": (text, part) => text.includes(part), "^=": (text, part) => text.startsWith(part), "$=": (text, part) => text.endsWith(part) };
/** Operators that can be said in words, also after "not" or "!". */
const IN_WORDS = { contains: "*=", startswith: "^=", endswith: "$=" };
const FILLERS = new Set(["is", "has"]);
const JOINTS = new Set(["and", "or"]);

/** The message is a sentence for people; `position` is the character, from 0. */
export class QueryError extends Error {
    constructor(position, message) {
        super(message);
        this.position = position;
    }
}

/**
 * Returns `{node(node), edge(edge)}`; throws QueryError. An empty text matches nothing.
 * `graph`: its `nodes` and `edges` (maps or lists) and the chosen `namespaces`, for terms about more than one node or edge.
 */
export function parse(text, graph = { nodes: [], edges: [] }) {
    if (text.length > MAX_LENGTH) throw new QueryError(MAX_LENGTH, `an expression has at most ${MAX_LENGTH} characters`);
    if (!text.trim()) return { node: () => false, edge: () => false };
    const tree = new Parser(text).whole();
    const whole = new Whole(graph);
    return { node: (item) => Boolean(holds(tree, "node", item, whole)), edge: (item) => Boolean(holds(tree, "edge", item, whole)) };
}

/** Figures of the whole graph, made once, when first asked for. */
class Whole {
    #sides;
    #degrees;
    #ranks;

    constructor({ nodes, edges, namespaces }) {
        this.nodes = () => nodes.values();
        this.edges = () => edges.values();
        this.namespaces = new Set(namespaces);
    }

    inbound(id, protocol) {
        return this.#side("target").get(`${id}>${protocol}`) ?? null;
    }

    outbound(id, protocol) {
        return this.#side("source").get(`${id}>${protocol}`) ?? null;
    }

    percentOfSource(edge) {
        const whole = this.outbound(edge.source, edge.protocol);
        return whole ? rounded((100 * flow(edge)) / whole, 2) : null;
    }

    /** 1 for the nodes with most edges, then 2 and so on, at most 100. */
    rank(id) {
        if (!this.#ranks) {
            this.#degrees = new Map();
            for (const edge of this.edges()) {
                for (const end of [edge.source, edge.target]) this.#degrees.set(end, (this.#degrees.get(end) ?? 0) + 1);
            }
            const counts = new Set([...this.nodes()].map((node) => this.#degrees.get(node.id) ?? 0));
            this.#ranks = new Map([...counts].sort((a, b) => b - a).map((count, place) => [count, Math.min(place + 1, 100)]));
        }
        return this.#ranks.get(this.#degrees.get(id) ?? 0) ?? null;
    }

    #side(end) {
        if (!this.#sides) {
            this.#sides = { source: new Map(), target: new Map() };
            for (const edge of this.edges()) {
                for (const [name, side] of Object.entries(this.#sides)) {
                    const key = `${edge[name]}>${edge.protocol}`;
                    side.set(key, (side.get(key) ?? 0) + flow(edge));
                }
            }
            for (const side of Object.values(this.#sides)) side.forEach((sum, key) => side.set(key, rounded(sum, 3)));
        }
        return this.#sides[end];
    }
}

const flow = (edge) => (edge.protocol === "tcp" ? edge.sent + edge.received : edge.rate);

function rounded(value, digits) {
    const factor = 10 ** digits;
    return Math.round(value * factor) / factor;
}

/** Recursive descent: or, and, not, parentheses, terms. */
class Parser {
    constructor(text) {
        this.tokens = worded(tokens(text));
        this.next = 0;
        this.depth = 0;
    }

    whole() {
        const tree = this.either();
        const token = this.peek();
        const blanks = token.kind === "word" ? "; a text with blanks stands in quotes" : "";
        if (token.kind !== "end") throw new QueryError(token.position, `expected 'and' or 'or' before '${token.text}'${blanks}`);
        return tree;
    }

    either() {
        let tree = this.both();
        while (this.takeWord("or")) tree = { type: "either", left: tree, right: this.both() };
        return tree;
    }

    both() {
        let tree = this.one();
        for (;;) {
            const { position } = this.peek();
            if (!this.takeWord("and")) return tree;
            const right = this.one();
            if (new Set([...subjects(tree), ...subjects(right)]).size > 1) {
                throw new QueryError(position, "a node term and an edge term cannot both hold: join them with 'or'");
            }
            tree = { type: "both", left: tree, right };
        }
    }

    one() {
        const token = this.peek();
        this.depth += 1;
        if (this.depth > MAX_DEPTH) throw new QueryError(token.position, `nested more than ${MAX_DEPTH} deep`);
        let tree;
        if (isNot(token)) {
            this.next += 1;
            tree = { type: "not", inner: this.one() };
        } else if (token.kind === "mark" && token.text === "(") {
            this.next += 1;
            tree = this.either();
            if (this.peek().text !== ")") throw new QueryError(this.peek().position, "expected ')'");
            this.next += 1;
        } else {
            tree = this.term();
        }
        this.depth -= 1;
        return tree;
    }

    term() {
        const token = this.peek();
        if (token.kind !== "word" || JOINTS.has(token.text.toLowerCase())) {
            throw new QueryError(token.position, token.kind === "end" ? "expected an operand such as 'name' or 'rate'" : `expected an operand, not '${token.text}'`);
        }
        this.next += 1;
        const sign = this.peek();
        if (sign.kind !== "operator") return flag(token);
        this.next += 1;
        const value = this.peek();
        if (value.kind !== "word" && value.kind !== "quoted") throw new QueryError(value.position, `expected a value after '${sign.text}'`);
        this.next += 1;
        return comparison(token, sign, value);
    }

    peek() {
        let token = this.tokens[this.next];
        while (token.kind === "word" && FILLERS.has(token.text.toLowerCase()) && (this.next === 0 || this.tokens[this.next - 1].kind !== "operator")) {
            this.next += 1;
            token = this.tokens[this.next];
        }
        return token;
    }

    takeWord(word) {
        const token = this.peek();
        if (token.kind !== "word" || token.text.toLowerCase() !== word) return false;
        this.next += 1;
        return true;
    }
}

function tokens(text) {
    const found = [];
    const end = text.trimEnd().length;
    let position = 0;
    while (position < end) {
        TOKEN.lastIndex = position;
        const match = TOKEN.exec(text);
        if (!match) {
            const start = position + text.slice(position).length - text.slice(position).trimStart().length;
            throw new QueryError(start, `cannot read '${text.slice(start, start + 10)}'`);
        }
        const [group, value] = Object.entries(match.groups).find(([, one]) => one !== undefined);
        const quoted = group === "quoted" || group === "single";
        found.push({ kind: quoted ? "quoted" : group, text: value, position: TOKEN.lastIndex - value.length - (quoted ? 2 : 0) });
        position = TOKEN.lastIndex;
    }
    found.push({ kind: "end", text: "", position: text.length });
    return found;
}

const isNot = (token) => token.kind === "bang" || (token.kind === "word" && token.text.toLowerCase() === "not");

/** Puts signs in the place of operators in words: "contains", "not startswith", "! endswith". */
function worded(read) {
    const found = [];
    let afterOperand = false;
    for (let position = 0; position < read.length; position += 1) {
        let token = read[position];
        const negated = isNot(token) && position + 1 < read.length;
        const word = negated ? read[position + 1] : token;
        if (afterOperand && word.kind === "word" && owns(IN_WORDS, word.text.toLowerCase())) {
            token = { kind: "operator", text: (negated ? "!" : "") + IN_WORDS[word.text.toLowerCase()], position: token.position };
            position += Number(negated);
        }
        afterOperand = token.kind === "word" && !["and", "or", "not", ...FILLERS].includes(token.text.toLowerCase());
        found.push(token);
    }
    return found;
}

const owns = (table, name) => Object.hasOwn(table, name);
const named = (word) => (owns(ALIASES, word.toLowerCase()) ? ALIASES[word.toLowerCase()] : word.toLowerCase());
const isLabel = (token) => token.text.toLowerCase().startsWith("label:");

function operand(token) {
    if (isLabel(token)) {
        const key = token.text.slice("label:".length);
        if (!key) throw new QueryError(token.position + token.text.length, "expected a label's key after 'label:', as in 'label:app'");
        return { subject: "node", type: "text", read: (node) => (owns(node.labels, key) ? [node.labels[key]] : []) };
    }
    if (!owns(OPERANDS, named(token.text))) {
        throw new QueryError(token.position, `no operand '${token.text}'; there are ${WORDS.toSorted().join(", ")}`);
    }
    return OPERANDS[named(token.text)];
}

function flag(token) {
    const { subject, type, read } = operand(token);
    if (type !== "flag" && !isLabel(token)) {
        throw new QueryError(token.position + token.text.length, `${token.text} needs an operator and a value, as in '${token.text} = …'`);
    }
    return { type: "term", subject, test: isLabel(token) ? (item) => read(item).length > 0 : read };
}

function comparison(token, sign, value) {
    const { subject, type, read, values, unit } = operand(token);
    const bare = sign.text === "==" ? "=" : sign.text;
    if (type === "flag") throw new QueryError(sign.position, `${token.text} is yes or no: write '${token.text}' or '!${token.text}'`);
    if (values && !values.includes(value.text.toLowerCase()) && ["=", "!="].includes(bare)) {
        throw new QueryError(value.position, `${token.text} is never '${value.text}'; it is one of ${values.toSorted().join(", ")}`);
    }
    if (type === "number" && !owns(ORDER, bare)) throw new QueryError(sign.position, `${sign.text} compares texts, and ${token.text} is a number`);
    const test = type === "number" ? numberTest(bare, value, unit) : textTest(bare, value);
    return { type: "term", subject, test: (item, whole) => test(read(item, whole)) };
}

const isAbsent = (value) => value.text.toLowerCase() === "nan";

/** Compares numbers; what is not measured matches nothing but "= NaN". */
function numberTest(sign, value, unit = COUNT) {
    if (isAbsent(value) && (sign === "=" || sign === "!=")) return (found) => (found === null) === (sign === "=");
    const wanted = numeric(value.text, unit);
    if (wanted === null) throw new QueryError(value.position, `'${value.text}' is not ${unit.kind}`);
    return (found) => found !== null && ORDER[sign](found, wanted);
}

/** Compares texts without regard to case; of several one must do, and with "!" none may. */
function textTest(sign, value) {
    if (sign === "=~" || sign === "!~") {
        const pattern = wholePattern(value);
        return (found) => [found].flat().some((one) => pattern.test(one)) !== (sign === "!~");
    }
    const wanted = value.text.toLowerCase();
    const negative = sign.startsWith("!");
    const bare = sign.replace(/^!/, "");
    if (isAbsent(value) && bare === "=") return (found) => (found.length === 0) !== negative;
    if (owns(LIKE, bare)) return (found) => [found].flat().some((one) => LIKE[bare](one.toLowerCase(), wanted)) !== negative;
    const inOrder = numberTest(sign, value);
    return (found) => [found].flat().some((one) => inOrder(numeric(one, COUNT)));
}

/** A regular expression that must match the whole text, as in Prometheus. */
function wholePattern(value) {
    try {
        return new RegExp(`^(?:${value.text})$`, "i");
    } catch {
        throw new QueryError(value.position, "not a regular expression");
    }
}

/** A number in the unit of an operand; null: it is none, or has a unit of something else. */
function numeric(text, { factors }) {
    const [, number, unit] = /^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*(.*?)\s*$/i.exec(text) || [];
    if (number === undefined) return null;
    const factor = unit === "" ? 1 : owns(factors, unit.toLowerCase()) && factors[unit.toLowerCase()];
    return factor ? Number(number) * factor : null;
}

function subjects(tree) {
    if (tree.type === "term") return [tree.subject];
    if (tree.type === "not") return subjects(tree.inner);
    return [...subjects(tree.left), ...subjects(tree.right)];
}

/** Whether the item matches; null: the tree does not speak of items of its sort. */
function holds(tree, sort, item, whole) {
    if (tree.type === "term") return tree.subject === sort ? tree.test(item, whole) : null;
    if (tree.type === "not") {
        const inner = holds(tree.inner, sort, item, whole);
        return inner === null ? null : !inner;
    }
    const left = holds(tree.left, sort, item, whole);
    const right = holds(tree.right, sort, item, whole);
    if (tree.type === "both") return left === null || right === null ? null : left && right;
    return left === null && right === null ? null : Boolean(left) || Boolean(right);
}
