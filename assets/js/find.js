// Kiali's find and hide language, evaluated in the browser so that it follows every change at once.
// Grammar and meaning are graph/query.py's; tests/browser/test_find_language.py holds the two together.

const text = (read) => ({ read, numeric: false });
const number = (read) => ({ read, numeric: true });
const flag = (read) => ({ read, flag: true });

const signal = (signals, protocol, node) => (signals && (!protocol || (node.protocols || [protocol]).includes(protocol)) ? signals.rate : undefined);
const percentOf = (edge, protocol) => (edge.protocol === protocol && edge.requests > 0 ? edge.errorRatio * 100 : undefined);
const rateOf = (edge, protocol) => (edge.protocol === protocol && edge.presence === "live" ? (protocol === "tcp" ? edge.sent + edge.received : edge.rate) : undefined);
const has = (...badges) => flag((node) => badges.some((badge) => (node.badges || []).includes(badge)));

const KINDS = { app: "app", service: "svc", workload: "wl", unknown: "unknown", operation: "op" };

const NODES = {
    app: text((node) => node.app),
    cluster: text((node) => node.cluster),
    namespace: text((node) => node.namespace),
    version: text((node) => node.version),
    workload: text((node) => node.workload),
    service: text((node) => node.service),
    name: text((node) => [node.label, node.app, node.workload, node.service, node.version]),
    node: text((node) => [KINDS[node.kind] || node.kind, node.kind]),
    httpin: number((node) => signal(node.in, "http", node)),
    httpout: number((node) => signal(node.out, "http", node)),
    grpcin: number((node) => signal(node.in, "grpc", node)),
    grpcout: number((node) => signal(node.out, "grpc", node)),
    tcpin: number((node) => node.in && node.in.sent + node.in.received),
    tcpout: number((node) => node.out && node.out.sent + node.out.received),
    healthy: flag((node) => node.health === "healthy" || node.health === "idle" || node.health === "not_ready"),
    idle: flag((node) => !node.in && !node.out),
    trafficsource: flag((node) => !node.in && Boolean(node.out)),
    circuitbreaker: has("circuit-breaker"),
    faultinjection: has("fault-injection"),
    mirroring: has("mirroring"),
    requesttimeout: has("timeout"),
    trafficshifting: has("traffic-shifting"),
    virtualservice: has("virtual-service", "traffic-shifting", "fault-injection", "timeout", "mirroring"),
    sidecar: has("no-sidecar"),
    serviceentry: flag((node) => node.kind === "external"),
};

const EDGES = {
    protocol: text((edge) => edge.protocol),
    http: number((edge) => rateOf(edge, "http")),
    "%httperr": number((edge) => percentOf(edge, "http")),
    grpc: number((edge) => rateOf(edge, "grpc")),
    "%grpcerr": number((edge) => percentOf(edge, "grpc")),
    tcp: number((edge) => rateOf(edge, "tcp")),
    "%err": number((edge) => (edge.requests > 0 ? edge.errorRatio * 100 : undefined)),
    rps: number((edge) => (edge.presence === "live" ? edge.rate : undefined)),
    responsetime: number((edge) => edge.p95 ?? undefined),
    throughput: number((edge) => (edge.sent || edge.received ? edge.sent + edge.received : undefined)),
    mtls: flag((edge) => edge.mtls > 0),
    traffic: flag((edge) => edge.presence === "live"),
};

const ALIASES = {
    ns: "namespace", svc: "service", wl: "workload", se: "serviceentry", sc: "sidecar", cb: "circuitbreaker", fi: "faultinjection",
    rto: "requesttimeout", ts: "trafficshifting", vs: "virtualservice", root: "trafficsource", rt: "responsetime", "%error": "%err",
};

const OPERATORS = ["!*=", "!^=", "!$=", "*=", "^=", "$=", "!=", ">=", "<=", "=", ">", "<"];

export class QueryError extends Error {}

/** Returns `{node(node), edge(edge)}`, two predicates; throws QueryError with a sentence. "" matches nothing. */
export function parse(source) {
    const alternatives = source.split(/\s+or\s+/i).filter((part) => part.trim());
    const terms = alternatives.map((part) => part.split(/\s+and\s+/i).map(term));
    for (const all of terms) {
        if (new Set(all.map((one) => one.side)).size > 1) throw new QueryError("Terms about nodes and about edges cannot be joined by AND; use OR");
    }
    const on = (side) => (item) => terms.some((all) => all[0].side === side && all.every((one) => one.matches(item)));
    return { node: on("node"), edge: on("edge") };
}

function term(source) {
    let rest = source.trim().replace(/^(is|has)\s+/i, "");
    let negated = false;
    const not = rest.match(/^(!|not\s+)\s*/i);
    if (not) {
        negated = true;
        rest = rest.slice(not[0].length).replace(/^(is|has)\s+/i, "");
    }
    const match = rest.match(/^(%?[\w:.\/-]+)\s*(!\*=|!\^=|!\$=|\*=|\^=|\$=|!=|>=|<=|=|>|<)?\s*(.*)$/s);
    if (!match || !rest) throw new QueryError(`“${source.trim()}” is not a term; try %err > 1 or name = catalog`);
    const [, word, operator, value] = match;
    const name = ALIASES[word.toLowerCase()] || word.toLowerCase();
    const side = name in NODES ? "node" : name in EDGES ? "edge" : null;
    if (!side) {
        if (!operator && !value) return { side: "node", matches: (node) => NODES.name.read(node).some((part) => (part || "").includes(word)) !== negated };
        throw new QueryError(`“${word}” is not known; try name, namespace, version, %err, rt, rps, healthy, mtls`);
    }
    const operand = (side === "node" ? NODES : EDGES)[name];
    if (operand.flag) {
        if (operator) throw new QueryError(`“${word}” takes no value`);
        return { side, matches: (item) => Boolean(operand.read(item)) !== negated };
    }
    if (!operator) throw new QueryError(`“${word}” needs an operator and a value, as in ${word} ${operand.numeric ? "> 1" : "= catalog"}`);
    if (!value.trim()) throw new QueryError(`“${word} ${operator}” needs a value`);
    const test = comparison(operand, operator, value.trim().replace(/^["'](.*)["']$/, "$1"), word);
    return { side, matches: (item) => test(operand.read(item)) !== negated };
}

function comparison(operand, operator, wanted, word) {
    if (wanted.toLowerCase() === "nan") {
        const absent = (found) => found === undefined || found === null || found === "";
        if (operator === "=") return absent;
        if (operator === "!=") return (found) => !absent(found);
    }
    if (operand.numeric) {
        const limit = Number(wanted);
        if (Number.isNaN(limit)) throw new QueryError(`“${word}” is compared with a number, not “${wanted}”`);
        const compare = { "=": (a) => a === limit, "!=": (a) => a !== limit, ">": (a) => a > limit, ">=": (a) => a >= limit, "<": (a) => a < limit, "<=": (a) => a <= limit }[operator];
        if (!compare) throw new QueryError(`“${operator}” compares text; “${word}” is a number`);
        return (found) => found !== undefined && found !== null && compare(found);
    }
    const positive = operator.startsWith("!") ? operator.slice(1) : operator;
    const compare = { "=": (a) => a === wanted, "*=": (a) => a.includes(wanted), "^=": (a) => a.startsWith(wanted), "$=": (a) => a.endsWith(wanted) }[positive];
    if (!compare) throw new QueryError(`“${operator}” compares numbers; “${word}” is text`);
    const any = (found) => [found].flat().some((part) => compare(part || ""));
    return operator.startsWith("!") ? (found) => !any(found) : any;
}

export const OPERANDS = { nodes: Object.keys(NODES), edges: Object.keys(EDGES), operators: OPERATORS };
