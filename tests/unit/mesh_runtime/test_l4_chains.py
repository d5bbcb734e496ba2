"""What tcp and tls rules make of a listener: filter chains that Envoy takes, in Istio's order."""

import pytest
from test_translate import NETWORKING, service, world

from mesh_runtime.xds.translate.routing.http_route import Caller
from mesh_runtime.xds.translate.routing.l4_route import l4_chains
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope

HOST = "db.shop.svc.cluster.local"
CLUSTER = "outbound|80||{}.shop.svc.cluster.local"
SERVICES = [service(name, "[{name: tcp, port: 80}]") for name in ("db", "old", "new")]


def rules(kind, listed, hosts="[db]", gateways="[mesh]", name="rules"):
    head = f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: {name}}}\n"
    return f"{head}spec: {{hosts: {hosts}, gateways: {gateways}, {kind}: {listed}}}"


def to(name):
    return f"route: [{{destination: {{host: {name}}}}}]"


def chains(*manifests, tls=False, hosts=(HOST,), **caller):
    who = Caller(**{"scope": SidecarScope("shop"), "labels": {"app": "web"}, "port": 80} | caller)
    found = l4_chains(world(*SERVICES, *manifests), who, hosts, tls=tls)
    return [(dict(chain.match), chain.clusters) for chain in found]


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        ("{port: 80}", True),
        ("{port: 81}", False),
        ("{sourceLabels: {app: web}}", True),
        ("{sourceLabels: {app: other}}", False),
        ("{sourceNamespace: shop, gateways: [mesh]}", True),
        ("{sourceNamespace: other}", False),
        ("{gateways: [ingress]}", False),
        ("{port: 81}, {sourceLabels: {app: web}}", True),
    ],
)
def test_a_tcp_rule_is_for_callers_that_one_of_its_matches_fits(match, applies):
    found = chains(rules("tcp", f"[{{match: [{match}], {to('new')}}}]"))
    assert found == ([({}, {"cluster": CLUSTER.format("new")})] if applies else [])


def test_subnets_tell_connections_apart_and_a_chain_for_all_comes_after_them():
    first = f"{{match: [{{destinationSubnets: [10.1.2.3/16, 10.1.0.0/16, 'fd00::1']}}], {to('new')}}}"
    second = f"{{match: [{{destinationSubnets: [10.1.0.0/16, 10.2.0.0/16]}}], {to('old')}}}"
    found = chains(rules("tcp", f"[{first}, {second}, {{{to('db')}}}, {{{to('old')}}}]"))
    networks = [
        [f"{one['address_prefix']}/{one['prefix_len']}" for one in match.get("prefix_ranges", ())] for match, _ in found
    ]
    assert networks == [["10.1.0.0/16", "fd00::1/128"], ["10.2.0.0/16"], []]
    assert found[2] == ({}, {"cluster": CLUSTER.format("db")})


def test_weights_of_connections_are_relative_and_those_without_get_none():
    route = ", ".join(
        f"{{destination: {{host: {name}}}, weight: {weight}}}" for name, weight in (("old", 3), ("new", 1), ("db", 0))
    )
    ((_, clusters),) = chains(rules("tcp", f"[{{route: [{route}]}}]"))
    assert clusters == {
        "weighted_clusters": {
            "clusters": [
                {"name": CLUSTER.format("old"), "weight": 3},
                {"name": CLUSTER.format("new"), "weight": 1},
            ]
        }
    }


def test_tls_rules_go_by_server_name_and_the_first_for_a_name_counts():
    listed = (
        f"[{{match: [{{sniHosts: [a.example.com, '*.b.example.com']}}], {to('new')}}},"
        f" {{match: [{{sniHosts: [a.example.com, c.example.com]}}], {to('old')}}}]"
    )
    manifest = rules("tls", listed, hosts="['*.example.com']")
    found = chains(manifest, tls=True, hosts=["*.example.com"])
    assert found == [
        ({"server_names": ["a.example.com", "*.b.example.com"]}, {"cluster": CLUSTER.format("new")}),
        ({"server_names": ["c.example.com"]}, {"cluster": CLUSTER.format("old")}),
    ]
    assert chains(manifest, tls=False, hosts=["*.example.com"]) == []
    assert chains(manifest, tls=True) == []


@pytest.mark.parametrize(
    ("offered", "served"),
    [
        ("*.example.com", True),
        ("a.example.com", True),
        ("shop/*", True),
        ("*/*", True),
        ("./*", False),
        ("other/*", False),
        ("*.org", False),
    ],
)
def test_a_gateway_s_server_has_the_rules_for_its_hosts_and_their_namespaces(offered, served):
    listed = f"[{{match: [{{sniHosts: [a.example.com], port: 443}}], {to('new')}}}]"
    manifest = rules("tls", listed, hosts="[a.example.com]", gateways="[edge/ingress]")
    found = chains(manifest, tls=True, hosts=[offered], gateway="edge/ingress", port=443)
    assert [match for match, _ in found] == ([{"server_names": ["a.example.com"]}] if served else [])
