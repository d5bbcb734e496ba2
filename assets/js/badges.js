// What the signs on nodes mean: for the picture, its legend and its tooltips.

/** The most telling first: the picture shows two of a node's, tooltip and panel all. */
export const BADGES = {
    "no-sidecar": { icon: "unplug", name: "Out of the mesh", text: "It has no sidecar: the mesh neither sees nor protects what it does" },
    inaccessible: { icon: "key-round", name: "Inaccessible", text: "It lies in a namespace that cannot be looked into" },
    "no-endpoints": { icon: "circle-alert", name: "No endpoints", text: "Nobody is ready to answer for it" },
    "fault-injection": { icon: "zap-off", name: "Fault injection", text: "Config makes requests to it fail or wait on purpose" },
    "traffic-shifting": { icon: "split", name: "Traffic shifting", text: "Its requests are split between versions by weight" },
    "tcp-traffic-shifting": { icon: "split", name: "TCP traffic shifting", text: "Its connections are split between versions by weight" },
    mirroring: { icon: "copy", name: "Mirroring", text: "Copies of its requests go elsewhere, too" },
    "circuit-breaker": { icon: "zap", name: "Circuit breaker", text: "Connection limits or outlier detection guard it" },
    timeout: { icon: "timer", name: "Request timeout", text: "Requests to it are given up after a while" },
    "request-routing": { icon: "route", name: "Request routing", text: "Where a request goes depends on what it asks for" },
    "virtual-service": { icon: "git-branch", name: "VirtualService", text: "A route of the mesh's config applies" },
    "gateway-api": { icon: "route", name: "Gateway API", text: "A route of the Gateway API applies" },
    "service-entry": { icon: "globe", name: "ServiceEntry", text: "A ServiceEntry declares it" },
    "workload-entry": { icon: "id-card", name: "WorkloadEntry", text: "It runs outside Kubernetes and joined the mesh" },
    waypoint: { icon: "waypoints", name: "Waypoint", text: "It stands in front of ambient workloads" },
    ambient: { icon: "cloud", name: "Ambient", text: "It is in the mesh without a sidecar, by ztunnel" },
    dead: { icon: "ban", name: "No replicas", text: "It is declared, and nothing of it runs" },
    "traffic-source": { icon: "log-in", name: "Traffic source", text: "Nobody in this graph calls it: requests begin here" },
};

export const KINDS = {
    workload: { icon: "box", name: "Workload" },
    app: { icon: "box", name: "App" },
    service: { icon: "server", name: "Service" },
    gateway: { icon: "door-open", name: "Gateway" },
    database: { icon: "database", name: "Database" },
    queue: { icon: "layers", name: "Queue" },
    operation: { icon: "workflow", name: "Operation" },
    external: { icon: "globe", name: "Declared host" },
    passthrough: { icon: "log-out", name: "Passed on, undeclared" },
    blackhole: { icon: "ban", name: "Refused, undeclared" },
    outside: { icon: "globe", name: "Client outside the mesh" },
    probe: { icon: "activity", name: "Probe" },
    scraper: { icon: "gauge", name: "Scraper of metrics" },
    unknown: { icon: "circle-help", name: "Caller without labels" },
    group: { icon: "boxes", name: "Shut box" },
};

/** A node's badges, the most telling first; one that is not known here is shown by its own name. */
export function badgesOf(node) {
    const own = new Set(node.badges);
    if (node.out && !node.in && node.app) own.add("traffic-source");
    if (node.replicas === 0) own.add("dead");
    if (node.kind === "external") own.delete("service-entry"); // the icon in its middle says so
    const known = Object.keys(BADGES).filter((name) => own.delete(name));
    return [...known.map((name) => BADGES[name]), ...[...own].map((name) => ({ icon: "info", name, text: "" }))];
}
