// Shows a made graph of so many nodes in eight namespaces, and so many edges, instead of the live one.
([nodes, edges]) => {
    const page = Meshscope.page;
    Meshscope.stream.close();
    const [node, edge] = [[...page.graph.nodes.values()].find((one) => one.in && one.out), [...page.graph.edges.values()].find((one) => one.requests)];
    const id = (number) => `vapp:Kubernetes/team-${number % 8}/service-${number}/`;
    const made = [...Array(nodes).keys()].map((number) => ({ ...node, id: id(number), label: `service-${number}`, app: `service-${number}`,
        namespace: `team-${number % 8}`, parent: `ns:Kubernetes/team-${number % 8}`, kind: "workload", health: "healthy", version: "" }));
    const calls = [...Array(edges).keys()].map((number) => {
        const [source, target] = [id(number % nodes), id((number * 7 + 1 + Math.floor(number / nodes)) % nodes)];
        return { ...edge, id: `${source}>${target}>${number}`, source, target, health: number === 3 ? "failure" : "healthy" };
    });
    page.graph = null;
    page.set({ shut: new Set() });
    page.received({ ...page.stream.graph, type: "versionedApp", nodes: new Map(made.map((one) => [one.id, one])), edges: new Map(calls.map((one) => [one.id, one])) });
}
