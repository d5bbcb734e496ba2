// Kiali's find and hide language, evaluated in the browser so that it follows every change at once.
// A port of graph/query.py; tests/browser/test_find_language.py holds the two together.

const MAX_LENGTH = 2000;
const MAX_DEPTH = 50;

const SHORT_KINDS = { workload: "wl", service: "svc" };

const NODE_VALUES = {
    name: (node) => [node.label, node.app, node.workload, node.service],
    namespace: (node) => node.namespace,
    cluster: (node) => node.cluster,
    app: (node) => node.app,
    version: (node) => node.version,
    workload: (node) => node.workload,
    service: (node) => node.service,
    node: (node) => [node.kind, SHORT_KINDS[node.kind] || node.kind],
    health: (node) => node.health,
    principal: (node) => node.principals,
    replicas: (node) => node.replicas,
    in: (node) => node.in?.rate ?? null,
    out: (node) => node.out?.rate ?? null,
};

const badge = (name) => (node) => node.badges.includes(name);
const kind = (name) => (node) => node.kind === name;

const NODE_FLAGS = {
    healthy: (node) => ["healthy", "idle", "not_ready"].includes(node.health),
    degraded: (node) => node.health === "degraded",
    failure: (node) => node.health === "failure",
    idle: (node) => !node.in && !node.out,
    unknown: (node) => ["unknown", "probe", "scraper", "outside"].includes(node.kind),
    external: (node) => ["external", "passthrough", "blackhole"].includes(node.kind),
    database: kind("database"),
    gateway: kind("gateway"),
    trafficsource: (node) => Boolean(node.out) && !node.in,
    virtualservice: badge("virtual-service"),
    trafficshifting: badge("traffic-shifting"),
    circuitbreaker: badge("circuit-breaker"),
    faultinjection: badge("fault-injection"),
    requesttimeout: badge("timeout"),
    mirroring: badge("mirroring"),
    outofmesh: badge("no-sidecar"),
};

const rate = (protocol) => (edge) => (edge.protocol === protocol ? edge.rate : null);
// Exact to the digits that the server sends and compares: 100 times 0.07 is a little more than 7.
const percent = (edge) => Math.round(1e6 * edge.errorRatio) / 1e4;
const errors = (protocol) => (edge) => (edge.protocol === protocol ? percent(edge) : null);

const EDGE_VALUES = {
    rate: (edge) => edge.rate,
    http: rate("http"),
    grpc: rate("grpc"),
    tcp: (edge) => (edge.protocol === "tcp" ? edge.sent + edge.received : null),
    "%err": percent,
    "%httperr": errors("http"),
    "%grpcerr": errors("grpc"),
    p50: (edge) => edge.p50,
    p95: (edge) => edge.p95,
    p99: (edge) => edge.p99,
    throughput: (edge) => edge.sent + edge.received,
    protocol: (edge) => edge.protocol,
    flags: (edge) => Object.keys(edge.flags),
    code: (edge) => Object.keys(edge.codes),
};

const EDGE_FLAGS = {
    mtls: (edge) => Boolean(edge.mtls),
    traffic: (edge) => edge.presence !== "idle",
    stale: (edge) => edge.presence === "stale",
    unhealthy: (edge) => edge.health === "degraded" || edge.health === "failure",
};

const ALIASES = {
    ns: "namespace", wl: "workload", svc: "service", rps: "rate", err: "%err", "%error": "%err", rt: "p95", responsetime: "p95",
    httpin: "in", httpout: "out", root: "trafficsource", vs: "virtualservice", ts: "trafficshifting", cb: "circuitbreaker",
    fi: "faultinjection", rto: "requesttimeout", om: "outofmesh", sidecar: "outofmesh", sc: "outofmesh", se: "external",
    serviceentry: "external", db: "database",
};

const TOKEN = /\s*(?:(?<mark>[()])|(?<operator>!?[*^$]=|!=|>=|<=|==|[=<>])|(?<bang>!)|"(?<quoted>[^"]*)"|(?<word>[^\s()=!<>*^$"]+|[*^$]))/y;

const ORDER = { "=": (a, b) => a === b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b };
const LIKE = { "=": (text, part) => text === part, "*=": (text, part) => text.includes(part), "^=": (text, part) => text.startsWith(part), "$=": (text, part) => text.endsWith(part) };
const FILLERS = new Set(["is", "has"]);

/** The message is a sentence for people; `position` is the character, from 0. */
export class QueryError extends Error {
    constructor(position, message) {
        super(message);
        this.position = position;
    }
}

/** Returns `{node(node), edge(edge)}`; throws QueryError. An empty text matches nothing. */
export function parse(text) {
    if (text.length > MAX_LENGTH) throw new QueryError(MAX_LENGTH, `an expression has at most ${MAX_LENGTH} characters`);
    if (!text.trim()) return { node: () => false, edge: () => false };
    const tree = new Parser(text).whole();
    return { node: (item) => Boolean(holds(tree, "node", item)), edge: (item) => Boolean(holds(tree, "edge", item)) };
}

/** Recursive descent: or, and, not, parentheses, terms. */
class Parser {
    constructor(text) {
        this.tokens = tokens(text);
        this.next = 0;
        this.depth = 0;
    }

    whole() {
        const tree = this.either();
        const token = this.peek();
        if (token.kind !== "end") throw new QueryError(token.position, `expected 'and' or 'or' before '${token.text}'`);
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
        if (token.kind === "bang" || (token.kind === "word" && token.text.toLowerCase() === "not")) {
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
        if (token.kind !== "word") {
            throw new QueryError(token.position, token.kind === "end" ? "expected an operand such as 'name' or 'rate'" : `expected an operand, not '${token.text}'`);
        }
        this.next += 1;
        const name = named(token.text);
        const sign = this.peek();
        if (sign.kind !== "operator") return flag(name, token);
        this.next += 1;
        const value = this.peek();
        if (value.kind !== "word" && value.kind !== "quoted") throw new QueryError(value.position, `expected a value after '${sign.text}'`);
        this.next += 1;
        return comparison(name, token, sign, value);
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
        const [type, value] = Object.entries(match.groups).find(([, group]) => group !== undefined);
        found.push({ kind: type, text: value, position: TOKEN.lastIndex - value.length - (type === "quoted" ? 2 : 0) });
        position = TOKEN.lastIndex;
    }
    found.push({ kind: "end", text: "", position: text.length });
    return found;
}

const owns = (table, name) => Object.hasOwn(table, name);
const named = (word) => (owns(ALIASES, word.toLowerCase()) ? ALIASES[word.toLowerCase()] : word.toLowerCase());

function flag(name, token) {
    if (owns(NODE_FLAGS, name)) return { type: "term", subject: "node", test: NODE_FLAGS[name] };
    if (owns(EDGE_FLAGS, name)) return { type: "term", subject: "edge", test: EDGE_FLAGS[name] };
    if (owns(NODE_VALUES, name) || owns(EDGE_VALUES, name)) {
        throw new QueryError(token.position + token.text.length, `${token.text} needs an operator and a value, as in '${token.text} = …'`);
    }
    throw unknown(token);
}

function comparison(name, token, sign, value) {
    const test = tester(sign, value);
    if (owns(NODE_VALUES, name)) return { type: "term", subject: "node", test: (node) => test(NODE_VALUES[name](node)) };
    if (owns(EDGE_VALUES, name)) return { type: "term", subject: "edge", test: (edge) => test(EDGE_VALUES[name](edge)) };
    if (owns(NODE_FLAGS, name) || owns(EDGE_FLAGS, name)) {
        throw new QueryError(sign.position, `${token.text} is yes or no: write '${token.text}' or '!${token.text}'`);
    }
    throw unknown(token);
}

function unknown(token) {
    const known = [NODE_VALUES, NODE_FLAGS, EDGE_VALUES, EDGE_FLAGS].flatMap(Object.keys).sort();
    return new QueryError(token.position, `no operand '${token.text}'; there are ${known.join(", ")}`);
}

/** Compares numbers as numbers and texts without regard to case; NaN stands for absence. */
function tester(sign, value) {
    const negative = sign.text.startsWith("!");
    const bare = sign.text === "==" ? "=" : sign.text.replace(/^!/, "");
    const wanted = value.text.toLowerCase();
    const limit = numeric(wanted);
    if (wanted === "nan" && bare === "=") return (found) => (found === null || found === undefined || found.length === 0) !== negative;
    if (owns(ORDER, bare) && bare !== "=" && limit === null) {
        throw new QueryError(value.position, `${sign.text} compares numbers, and '${value.text}' is none`);
    }
    const alike = (text) => {
        if (owns(LIKE, bare)) return LIKE[bare](text.toLowerCase(), wanted);
        const own = numeric(text);
        return own !== null && limit !== null && ORDER[bare](own, limit);
    };
    return (found) => {
        if (found === null || found === undefined) return false;
        if (Array.isArray(found)) return found.some(alike) !== negative;
        if (typeof found === "number") return limit !== null && owns(ORDER, bare) && ORDER[bare](found, limit) !== negative;
        return alike(found) !== negative;
    };
}

function numeric(text) {
    const bare = text.replace(/ms$/, "").replace(/%$/, "").trim();
    return bare === "" || Number.isNaN(Number(bare)) ? null : Number(bare);
}

function subjects(tree) {
    if (tree.type === "term") return [tree.subject];
    if (tree.type === "not") return subjects(tree.inner);
    return [...subjects(tree.left), ...subjects(tree.right)];
}

/** Whether the item matches; null: the tree does not speak of items of its sort. */
function holds(tree, sort, item) {
    if (tree.type === "term") return tree.subject === sort ? tree.test(item) : null;
    if (tree.type === "not") {
        const inner = holds(tree.inner, sort, item);
        return inner === null ? null : !inner;
    }
    const left = holds(tree.left, sort, item);
    const right = holds(tree.right, sort, item);
    if (tree.type === "both") return left === null || right === null ? null : left && right;
    return left === null && right === null ? null : Boolean(left) || Boolean(right);
}
