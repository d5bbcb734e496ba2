"""Translation as a function: manifests and instances in, Envoy's resources out."""

import pytest

from mesh_runtime.api import Config, load
from mesh_runtime.identity.enrolment import instance_of
from mesh_runtime.registration import Registration
from mesh_runtime.registry import RegistryState, Role
from mesh_runtime.xds.snapshot import Kind, Packer, whole_tables
from mesh_runtime.xds.translate import MeshSettings, Tracing, World, translate
from mesh_runtime.xds.translate.ports import bound_port, gateway_ports, tcp_names, workload_port
from mesh_runtime.xds.translate.security.peer_authentication import mtls_mode
from mesh_runtime.xds.translate.services import MeshPort
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

NETWORKING = "apiVersion: networking.istio.io/v1"
SECRETS = leaf_secret("chain", "key"), root_secret("root")


def config(*manifests):
    objects = load("\n---\n".join(manifests), default_namespace="shop")
    return Config(revision=1, objects={item.key: item for item in objects})


def service(name, ports="[{name: http, port: 80}]", namespace="shop", selector=None):
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{selector: {{app: {selector or name}}}, ports: {ports}}}"
    )


def rule(host, spec, namespace="shop", name="rule"):
    return f"{NETWORKING}\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{host: {host}, {spec}}}"


def virtual_service(hosts, http, name="routes", extra=""):
    return (
        f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec: {{hosts: {hosts}, http: {http}{extra}}}"
    )


def peer_authentication(mode, namespace="shop", selector="", name="default"):
    match = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return (
        f"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{match}mtls: {{mode: {mode}}}}}"
    )


def instance(name, version="", *, number=0, namespace="shop", role=Role.SIDECAR, address=None, **options):
    registration = Registration(
        role=role, namespace=namespace, service=name, version=version, port=options.pop("port", 8080), **options
    )
    workload = f"{name}-{version}" if version else name
    octet = sum(map(ord, workload)) % 200 + number
    return instance_of(registration, key=f"{namespace}/{workload}~{number}", address=address or f"127.64.1.{octet}")


def world(*manifests, instances=(), **settings):
    registry = RegistryState(instances={one.id: one for one in instances})
    return World(config(*manifests) if manifests else Config(), registry, MeshSettings(**settings))


def resources(a_world, one):
    """Translate, and have it checked as it is before it is served."""
    translated = {**translate(a_world, one), Kind.SDS: (SECRETS,)}
    snapshot = Packer().snapshot(1, translated)
    found = {kind: {name: packed.content for name, packed in of.items()} for kind, of in snapshot.resources.items()}
    tables = whole_tables(found[Kind.RDS].values(), found[Kind.VHDS].values())
    return {**found, Kind.RDS: {table["name"]: table for table in tables}}


def domains(a_world, one):
    (routes,) = resources(a_world, one)[Kind.RDS].values()
    return {host["name"]: host["domains"] for host in routes["virtual_hosts"]}


def addresses(assignment):
    return sorted(
        "{address}:{port_value}".format(**found["endpoint"]["address"]["socket_address"])
        for found in assignment["endpoints"][0]["lb_endpoints"]
    )


FRONTEND = instance("frontend")


def test_clusters_have_istio_s_names_and_explicit_limits():
    a_world = world(
        service("catalog"), rule("catalog", "subsets: [{name: v1, labels: {version: v1}}]"), instances=[FRONTEND]
    )
    clusters = resources(a_world, FRONTEND)[Kind.CDS]
    assert set(clusters) == {
        "outbound|80||catalog.shop.svc.cluster.local",
        "outbound|80|v1|catalog.shop.svc.cluster.local",
        "inbound|8080||",
        "tunnel",
        "tunnel-raw",
        "PassthroughCluster",
    }
    for cluster in clusters.values():
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert limits["retry_budget"]["min_retry_concurrency"] == 100
        assert limits["max_requests"] == 2**32 - 1


def test_proxies_of_a_namespace_share_the_same_objects():
    other = instance("orders")
    a_world = world(service("catalog"), instances=[FRONTEND, other])
    one, two = translate(a_world, FRONTEND), translate(a_world, other)
    assert one[Kind.CDS][0] is two[Kind.CDS][0]
    assert one[Kind.EDS][0] is two[Kind.EDS][0]
    assert one[Kind.RDS][0] is two[Kind.RDS][0]
    assert one[Kind.VHDS][0] is two[Kind.VHDS][0]


def test_endpoints_are_the_selected_instances_that_do_not_drain():
    one, two = instance("catalog", "v1"), instance("catalog", "v2")
    resting = instance("catalog", "v1", number=1, starting=True)
    a_world = world(
        service("catalog"),
        rule("catalog", "subsets: [{name: v2, labels: {version: v2}}]"),
        instances=[one, two, resting, instance("catalog", namespace="other")],
    )
    assignments = resources(a_world, one)[Kind.EDS]
    every = addresses(assignments["outbound|80||catalog.shop.svc.cluster.local"])
    assert every == sorted([f"{one.address}:15006", f"{two.address}:15006"])
    subset = addresses(assignments["outbound|80|v2|catalog.shop.svc.cluster.local"])
    assert subset == [f"{two.address}:15006"]


def test_a_second_declared_port_has_a_listener_of_its_own():
    one = instance("catalog")
    one = type(one)(
        **{name: getattr(one, name) for name in one.__dataclass_fields__} | {"ports": {"http": 1, "grpc": 2}}
    )
    ports = "[{name: http, port: 80}, {name: grpc, port: 90, targetPort: grpc}]"
    a_world = world(service("catalog", ports), instances=[one])
    found = resources(a_world, one)
    assert set(found[Kind.LDS]) == {"tunnel", *(f"{one.address}_{port}" for port in (15001, 15006, 15106))}
    assert addresses(found[Kind.EDS]["outbound|90||catalog.shop.svc.cluster.local"]) == [f"{one.address}:15106"]


@pytest.mark.parametrize(
    ("port", "declared", "expected"),
    [
        (MeshPort(number=80, name="http", protocol="http", target="web"), {"web": 1, "http": 2}, "web"),
        (MeshPort(number=80, name="http", protocol="http", target="gone"), {"http": 2}, None),
        (MeshPort(number=80, name="http", protocol="http"), {"web": 1, "http": 2}, "http"),
        (MeshPort(number=80, name="x", protocol="http", target=8080), {"web": 8080, "other": 1}, "web"),
        (MeshPort(number=80, name="x", protocol="http"), {"other": 1, "web": 80}, "web"),
        (MeshPort(number=80, name="x", protocol="http", target=8080), {"only": 1}, "only"),
        (MeshPort(number=80, name="x", protocol="http", target=8080), {"one": 1, "two": 2}, None),
    ],
)
def test_a_service_port_leads_to_a_workload_s_port(port, declared, expected):
    assert workload_port(port, declared) == expected


def test_every_name_of_a_service_is_a_domain_and_short_names_are_the_caller_s():
    a_world = world(service("catalog"), service("catalog", namespace="other"), instances=[FRONTEND])
    found = domains(a_world, FRONTEND)
    names = ["catalog.shop.svc.cluster.local", "catalog.shop.svc", "catalog.shop", "catalog"]
    assert found["catalog.shop.svc.cluster.local:80"] == names + [f"{name}:80" for name in names]
    assert "catalog" not in found["catalog.other.svc.cluster.local:80"]
    assert found["allow_any"] == ["*"]


def test_a_name_without_port_means_port_80_else_the_first_http_port():
    ports = "[{name: http-admin, port: 9000}, {name: http, port: 80}]"
    elsewhere = "[{name: tcp, port: 7000}, {name: http-a, port: 9000}, {name: http-b, port: 9001}]"
    found = domains(world(service("a", ports), service("b", elsewhere), instances=[FRONTEND]), FRONTEND)
    assert "a" in found["a.shop.svc.cluster.local:80"]
    assert "a" not in found["a.shop.svc.cluster.local:9000"]
    assert "b" in found["b.shop.svc.cluster.local:9000"]
    assert "b" not in found["tunnel|b.shop.svc.cluster.local:7000"]


def test_the_caller_s_own_rule_comes_before_the_service_s_and_the_mesh_s():
    manifests = [service("catalog", namespace="other")]
    host = "catalog.other.svc.cluster.local"
    for namespace, simple in (("istio-system", "RANDOM"), ("other", "ROUND_ROBIN"), ("shop", "LEAST_REQUEST")):
        policy = f"trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}"
        manifests.append(rule(host, policy, namespace))
        a_world = world(*manifests, instances=[FRONTEND])
        cluster = resources(a_world, FRONTEND)[Kind.CDS][f"outbound|80||{host}"]
        assert cluster["lb_policy"] == simple


def test_a_rule_for_a_wildcard_holds_where_no_closer_one_does():
    policy = "trafficPolicy: {loadBalancer: {simple: %s}}"
    a_world = world(
        service("catalog"),
        service("orders"),
        rule("'*.shop.svc.cluster.local'", policy % "RANDOM", name="wide"),
        rule("orders", policy % "ROUND_ROBIN", name="close"),
        instances=[FRONTEND],
    )
    clusters = resources(a_world, FRONTEND)[Kind.CDS]
    assert clusters["outbound|80||catalog.shop.svc.cluster.local"]["lb_policy"] == "RANDOM"
    assert clusters["outbound|80||orders.shop.svc.cluster.local"]["lb_policy"] == "ROUND_ROBIN"


def test_a_part_of_a_subset_s_policy_replaces_the_rule_s_and_the_rest_stays():
    spec = (
        "trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 7}}}, "
        "subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]"
    )
    a_world = world(service("catalog"), rule("catalog", spec), instances=[FRONTEND])
    cluster = resources(a_world, FRONTEND)[Kind.CDS]["outbound|80|v1|catalog.shop.svc.cluster.local"]
    assert cluster["lb_policy"] == "ROUND_ROBIN"
    assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] == 7


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        ([], "PERMISSIVE"),
        ([peer_authentication("STRICT", "istio-system")], "STRICT"),
        ([peer_authentication("STRICT", "istio-system"), peer_authentication("DISABLE")], "DISABLE"),
        ([peer_authentication("STRICT", "istio-system"), peer_authentication("UNSET")], "STRICT"),
        (
            [peer_authentication("DISABLE"), peer_authentication("STRICT", selector="app: catalog", name="own")],
            "STRICT",
        ),
        ([peer_authentication("DISABLE"), peer_authentication("STRICT", selector="app: x", name="own")], "DISABLE"),
        ([peer_authentication("STRICT", "other")], "PERMISSIVE"),
    ],
)
def test_the_closest_peer_authentication_decides(manifests, expected):
    assert mtls_mode(world(*manifests), "shop", {"app": "catalog"}) == expected


def test_a_cluster_accepts_exactly_the_identities_of_its_workloads():
    one = instance("catalog", "v1", service_account="books")
    a_world = world(service("catalog"), service("empty"), instances=[one])
    clusters = resources(a_world, one)[Kind.CDS]

    def accepted(name):
        socket = clusters[f"outbound|80||{name}.shop.svc.cluster.local"]["transport_socket_matches"][0]
        context = socket["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
        names = context["default_validation_context"]["match_typed_subject_alt_names"]
        return [name["matcher"] for name in names]

    assert accepted("catalog") == [{"exact": "spiffe://cluster.local/ns/shop/sa/books"}]
    assert accepted("empty") == [{"prefix": "spiffe://cluster.local/ns/shop/sa/"}]


def test_no_listener_shares_its_port():
    one, gateway = instance("catalog"), instance("ingress", role=Role.GATEWAY, labels={"istio": "ingress"})
    gateways = f"{NETWORKING}\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{selector: {{istio: ingress}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]}}"
    a_world = world(service("catalog"), gateways, instances=[one, gateway])
    for proxy in (one, gateway):
        listeners = [one for one in resources(a_world, proxy)[Kind.LDS].values() if "internal_listener" not in one]
        assert listeners
        assert not any(listener["enable_reuse_port"] for listener in listeners)
        assert {listener["address"]["socket_address"]["address"] for listener in listeners} == {proxy.address}


def test_a_port_that_may_not_be_bound_is_8000_higher():
    assert [bound_port(number, 1024) for number in (80, 443, 1024, 9080)] == [8080, 8443, 1024, 9080]
    assert bound_port(80, 0) == 80


def test_a_gateway_opens_the_ports_of_the_gateways_that_select_it():
    gateway = instance("ingress", role=Role.GATEWAY, labels={"istio": "ingress"})
    manifests = [
        f"{NETWORKING}\nkind: Gateway\nmetadata: {{name: {name}}}\nspec: {{selector: {{istio: {label}}}, "
        f"servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]}}"
        for name, label, port in (("a", "ingress", 80), ("b", "ingress", 9080), ("c", "other", 9081))
    ]
    assert gateway_ports(world(*manifests), gateway) == {80: 8080, 9080: 9080}


def test_a_gateway_that_declares_80_and_8080_opens_both():
    gateway = instance("ingress", role=Role.GATEWAY, labels={"istio": "ingress"})
    servers = ", ".join(
        f"{{port: {{number: {port}, name: p{port}, protocol: HTTP}}, hosts: ['*']}}" for port in (80, 8080)
    )
    spec = f"selector: {{istio: ingress}}, servers: [{servers}]"
    ports = gateway_ports(world(f"{NETWORKING}\nkind: Gateway\nmetadata: {{name: a}}\nspec: {{{spec}}}"), gateway)
    assert ports[8080] == 8080
    assert ports[80] in range(20000, 30000)


def test_raw_tcp_is_reached_at_the_service_s_number_or_a_free_one():
    tcp = "[{name: tcp, port: %d, targetPort: %d}]"
    a_world = world(
        service("db", tcp % (6379, 16379)),
        service("same", tcp % (5432, 5432)),
        service("db", tcp % (6379, 16379), namespace="other"),
        service("low", tcp % (25, 2525)),
    )
    names = tcp_names(a_world, FRONTEND)
    assert names["db"] == 6379
    assert names["same"] in range(20000, 30000)  # an application on all addresses would have taken 5432
    assert names["db.other"] in range(20000, 30000)
    assert names["low"] == 8025
    assert tcp_names(a_world, FRONTEND) == names


def test_a_service_with_several_tcp_ports_names_the_further_ones():
    ports = "[{name: tcp, port: 7000, targetPort: 1}, {name: tcp-admin, port: 7001, targetPort: 2}]"
    assert tcp_names(world(service("db", ports)), FRONTEND) == {"db": 7000, "db-tcp-admin": 7001}


def test_tcp_connections_are_split_by_weight():
    spec = (
        "hosts: [db], tcp: [{route: [{destination: {host: db, subset: a}, weight: 30}, "
        "{destination: {host: db, subset: b}, weight: 70}]}]"
    )
    a_world = world(
        service("db", "[{name: tcp, port: 6379, targetPort: 1}]"),
        rule("db", "subsets: [{name: a, labels: {v: a}}, {name: b, labels: {v: b}}]"),
        f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: db}}\nspec: {{{spec}}}",
        instances=[FRONTEND],
    )
    listener = resources(a_world, FRONTEND)[Kind.LDS][f"{FRONTEND.address}_6379"]
    proxy = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert [choice["weight"] for choice in proxy["weighted_clusters"]["clusters"]] == [30, 70]


def test_what_leads_nowhere_is_still_answered():
    """Admission refuses it; a rollback to before a service existed must not stop the mesh."""
    http = "[{route: [{destination: {host: gone}}]}]"
    a_world = world(service("catalog"), virtual_service("[catalog]", http), instances=[FRONTEND])
    (routes,) = resources(a_world, FRONTEND)[Kind.RDS].values()
    host = next(host for host in routes["virtual_hosts"] if "catalog" in host["domains"])
    assert host["routes"][0]["route"]["cluster"] == "BlackHoleCluster"


@pytest.mark.parametrize(
    ("http", "is_named"),
    [
        ("[{route: [{destination: {host: catalog}}]}]", False),
        ("[{match: [{uri: {prefix: /a}}], route: [{destination: {host: catalog}}]}]", True),
        ("[{directResponse: {status: 200}}]", True),
        ("[{route: [{destination: {host: gone}}]}]", True),
    ],
)
def test_a_virtual_host_names_its_service_where_a_request_may_have_no_cluster_that_does(http, is_named):
    a_world = world(service("catalog"), virtual_service("[catalog]", http), instances=[FRONTEND])
    (routes,) = resources(a_world, FRONTEND)[Kind.RDS].values()
    host = next(host for host in routes["virtual_hosts"] if "catalog" in host["domains"])
    assert ("metadata" in host) == is_named


def test_routes_name_the_object_they_come_from():
    http = "[{route: [{destination: {host: catalog}}]}]"
    a_world = world(service("catalog"), virtual_service("[catalog]", http), instances=[FRONTEND])
    (routes,) = resources(a_world, FRONTEND)[Kind.RDS].values()
    host = next(host for host in routes["virtual_hosts"] if "catalog" in host["domains"])
    described = host["routes"][0]["metadata"]["filter_metadata"]["istio"]
    assert described["config"] == "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/routes"


def test_proxies_send_no_spans_unless_told_to():
    quiet = world(service("catalog"), instances=[FRONTEND])
    assert "opentelemetry" not in str(resources(quiet, FRONTEND))
    traced = world(service("catalog"), instances=[FRONTEND], tracing=Tracing(address="127.0.0.1", port=4317))
    found = resources(traced, FRONTEND)
    assert "otel-collector" in found[Kind.CDS]
    assert "OpenTelemetryConfig" in str(found[Kind.LDS])
