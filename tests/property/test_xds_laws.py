"""Laws of translation, whatever the config: it holds together, and it depends on nothing but its input."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh_runtime.api import Config, parse
from mesh_runtime.identity.enrolment import instance_of
from mesh_runtime.registration import Registration
from mesh_runtime.registry import RegistryState, Role
from mesh_runtime.xds.snapshot import Kind, Packer, whole_tables
from mesh_runtime.xds.translate import MeshSettings, World, translate
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

NETWORKING = "networking.istio.io/v1"
SECRETS = leaf_secret("chain", "key"), root_secret("root")

names = st.sampled_from(["catalog", "orders", "db"])
namespaces = st.sampled_from(["shop", "other", "istio-system"])
hosts = st.sampled_from(["catalog", "orders.other", "db.shop.svc.cluster.local", "*.example.com", "pay.example.com"])
single_hosts = hosts.filter(lambda host: "*" not in host)
subsets = st.sampled_from(["", "v1", "v2"])
ports = st.sampled_from([80, 8080, 6379, 15001])
destinations = st.fixed_dictionaries(
    {"host": single_hosts},
    optional={"subset": subsets.filter(bool), "port": st.fixed_dictionaries({"number": ports})},
)


def manifest(kind, spec, api_version=NETWORKING):
    def build(name, namespace, spec):
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}

    return st.builds(build, names, namespaces, spec)


def service_ports(number="port"):
    protocols = st.lists(st.sampled_from(["http", "grpc", "tcp"]), min_size=1, max_size=2, unique=True)
    return st.tuples(protocols, st.permutations([80, 8080, 6379, 15001])).map(
        lambda found: [{"name": name, number: port} for name, port in zip(*found, strict=False)]
    )


services = manifest(
    "Service", st.fixed_dictionaries({"selector": st.just({"app": "catalog"}), "ports": service_ports()}), "v1"
)
entries = manifest(
    "ServiceEntry",
    st.builds(
        lambda host, ports, resolution: {
            "hosts": [host],
            "resolution": resolution,
            "ports": [port | {"protocol": port["name"].upper()} for port in ports],
            "endpoints": [{"address": "127.0.0.1"}],
        },
        st.sampled_from(["*.example.com", "pay.example.com", "db.shop.svc.cluster.local"]),
        service_ports("number"),
        st.sampled_from(["STATIC", "DNS"]),
    ),
)
rules = manifest(
    "DestinationRule",
    st.builds(
        lambda host, found, mode: {
            "host": host,
            "subsets": [{"name": name, "labels": {"version": name}} for name in found if name],
            "trafficPolicy": {"tls": {"mode": mode}},
        },
        hosts,
        st.lists(subsets, unique=True, max_size=2),
        st.sampled_from(["DISABLE", "ISTIO_MUTUAL"]),
    ),
)
routes = manifest(
    "VirtualService",
    st.builds(
        lambda host, gateways, http, tcp: {
            "hosts": [host],
            "gateways": gateways,
            "http": [{"match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": one}]} for one in http],
            "tcp": [{"route": [{"destination": one}]} for one in tcp],
        },
        hosts,
        st.sampled_from([["mesh"], ["shop/catalog"], ["mesh", "shop/catalog"]]),
        st.lists(destinations, min_size=1, max_size=2),
        st.lists(destinations, max_size=1),
    ),
)
FILES = [{"serverCertificate": "/a", "privateKey": "/b"}]
gateways = manifest(
    "Gateway",
    st.builds(
        lambda host, port, secured: {
            "selector": {"app": "ingress"},
            "servers": [
                {"port": {"number": port, "name": "main", "protocol": secured[0]}, "hosts": [host], **secured[1]}
            ],
        },
        st.sampled_from(["*", "*.example.com", "other/pay.example.com", "./*"]),
        ports,
        st.sampled_from(
            [
                ("HTTP", {}),
                ("HTTP", {"tls": {"httpsRedirect": True}}),
                ("TCP", {}),
                ("HTTPS", {"tls": {"mode": "ISTIO_MUTUAL"}}),
                ("HTTPS", {"tls": {"mode": "SIMPLE", "credentialName": "missing"}}),
                ("HTTPS", {"tls": {"mode": "MUTUAL", "tlsCertificates": FILES, "caCertificates": "/c"}}),
                ("TLS", {"tls": {"mode": "PASSTHROUGH"}}),
                ("TLS", {"tls": {"mode": "AUTO_PASSTHROUGH"}}),
            ]
        ),
    ),
)
authentications = manifest(
    "PeerAuthentication",
    st.builds(lambda mode: {"mtls": {"mode": mode}}, st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE"])),
    "security.istio.io/v1",
)
manifests = st.lists(st.one_of(services, entries, rules, routes, gateways, authentications), max_size=12)


def instances():
    for number, (role, service, protocol) in enumerate(
        ((Role.SIDECAR, "catalog", "http"), (Role.SIDECAR, "db", "tcp"), (Role.GATEWAY, "ingress", "http"))
    ):
        port = 0 if role is Role.GATEWAY else 9000 + number
        registration = Registration(role=role, namespace="shop", service=service, port=port, protocol=protocol)
        yield instance_of(registration, key=f"shop/{service}~0", address=f"127.64.1.{number + 1}")


def translated(found):
    objects = [parse(one) for one in found]
    registry = RegistryState(instances={one.id: one for one in instances()})
    world = World(Config(objects={item.key: item for item in objects}), registry, MeshSettings())
    packer = Packer()
    made = {one.id: translate(world, one) for one in registry.instances.values()}
    return {key: packer.snapshot(1, {**of, Kind.SDS: (*of[Kind.SDS], SECRETS)}) for key, of in made.items()}


def named(kind, spec):
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": "pay", "namespace": "shop"}, "spec": spec}


REQUESTS_AT_A_PORT_OF_BYTES = [
    named("ServiceEntry", {"hosts": ["pay.example.com"], "ports": [{"name": "tcp", "number": 80, "protocol": "TCP"}]}),
    named(
        "VirtualService",
        {"hosts": ["pay.example.com"], "http": [{"route": [{"destination": {"host": "pay.example.com"}}]}]},
    ),
]


@settings(max_examples=60, deadline=None)
@example(REQUESTS_AT_A_PORT_OF_BYTES)
@given(manifests)
def test_whatever_the_config_every_snapshot_holds_together(found):
    """Also what admission would have refused: a dangling reference here raises, a field Envoy does not know as well."""
    for snapshot in translated(found).values():
        listeners = snapshot.resources[Kind.LDS].values()
        addresses = [str(listener.content.get("address")) for listener in listeners]
        assert len(addresses) == len(set(addresses))
        for listener in listeners:
            matches = [str(chain.get("filter_chain_match", {})) for chain in listener.content["filter_chains"]]
            assert len(matches) == len(set(matches))
        tables, hosts = ([one.content for one in snapshot.resources[kind].values()] for kind in (Kind.RDS, Kind.VHDS))
        for table in whole_tables(tables, hosts):
            domains = [domain for host in table["virtual_hosts"] for domain in host["domains"]]
            assert len(domains) == len(set(domains))


@settings(max_examples=25, deadline=None)
@given(manifests)
def test_the_order_of_objects_changes_nothing(found):
    unique = {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}

    def versions(order):
        return {
            key: {
                kind: {name: packed.version for name, packed in of.items()} for kind, of in snapshot.resources.items()
            }
            for key, snapshot in translated(order).items()
        }

    assert versions(list(unique.values())) == versions(list(unique.values())[::-1])
