"""What the pages say about proxies, certificates and hosts that nobody declared."""

from __future__ import annotations

import pytest

from console.cli.columns import COLUMNS
from console.views import certificates, proxies
from console.views.declare import service_entry
from console.views.flags import explained
from console.views.mentions import Piece, linked
from graph.model import (
    EdgeKey,
    GraphType,
    Inventory,
    NodeKind,
    Outcome,
    Protocol,
    ServiceRef,
    WorkloadRef,
)
from graph.types import project
from mesh_runtime.api import load, parse
from mesh_runtime.api.objects import Config, ConfigError
from mesh_runtime.control import GatewayStatus, ProxyStatus
from mesh_runtime.identity.authority import Authority, Stage
from mesh_runtime.identity.rotation import Rotation
from mesh_runtime.registry import Role
from mesh_runtime.xds.stream import TypeStatus

YAML = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {app: ingress}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [safe.example.com]
    tls: {mode: SIMPLE, credentialName: gone}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mine, namespace: shop}
spec: {workloadSelector: {labels: {app: ingress}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: others, namespace: shop}
spec: {workloadSelector: {labels: {app: orders}}}
"""
NOTE = "Gateway shop/web port 443 (https) is not served: there is no Secret shop/gone"
WEB = "/config/Gateway/shop/web"
MINE = "/config/EnvoyFilter/shop/mine"
LABELS = {"app": "ingress", "version": "v1"}


def config() -> Config:
    return Config(revision=7, objects={item.key: item for item in load(YAML)})


def proxy(**other: object) -> ProxyStatus:
    known = {
        "node_id": "gateway~1",
        "instance_id": "shop/ingress~0",
        "namespace": "shop",
        "workload": "ingress",
        "role": Role.GATEWAY,
        "connected": True,
        "revision_acked": 7,
        "in_sync": True,
    }
    return ProxyStatus(**known | other)


def test_a_sentence_leads_to_the_objects_it_names_and_to_no_others() -> None:
    assert linked(NOTE, config()) == (
        Piece("Gateway shop/web", WEB),
        Piece(" port 443 (https) is not served: there is no Secret shop/gone"),
    )


def test_what_a_proxy_rejected_leads_to_the_filters_it_has() -> None:
    rejected = {"LDS": TypeStatus(sent="b", acked="a", rejected="no such filter", at_ms=1)}
    row = proxies.row(proxy(types=rejected, in_sync=False), LABELS, config())
    (trouble,) = row.troubles
    assert [piece.href for piece in trouble.suspects] == [MINE]
    assert (row.word, trouble.tone) == ("Keeps older config", "error")
    assert [state.word for state in row.syncs if state.name == "Listeners"] == ["rejected"]


def test_a_proxy_that_a_change_is_just_reaching_is_told_from_one_that_does_not_follow() -> None:
    behind = proxy(types={"CDS": TypeStatus(sent="b", acked="a", rejected="", at_ms=1)}, in_sync=False)
    on_its_way, astray = proxies.rows([behind], {}, config()), proxies.rows([behind], {}, config(), {"shop/ingress~0"})
    told = [(row.word, row.tone, row.syncs[0].word) for row in (*on_its_way, *astray)]
    assert told == [("Syncing", "idle", "syncing"), ("Catching up", "warn", "stale")]


def test_an_object_knows_what_proxies_say_about_it() -> None:
    said = proxies.complaints(proxies.rows([proxy(notes=(NOTE,))], {"shop/ingress~0": LABELS}, config()))
    assert [one.instance for one in said[WEB]] == ["shop/ingress~0"]
    assert MINE not in said


def test_a_gateway_says_where_each_server_is_opened_and_which_is_not() -> None:
    gateway = GatewayStatus(
        instance_id="shop/ingress~0",
        namespace="shop",
        workload="ingress",
        address="127.0.0.1",
        ports={80: 8080, 443: 8443},
    )
    view = proxies.detail(proxy(notes=(NOTE,)), LABELS, config(), gateway, 0)
    assert [(one.port, one.at, one.hosts, one.security) for one in view.served] == [
        ("80 HTTP", "127.0.0.1:8080", ("shop.example.com",), "plain text"),
        ("443 HTTPS", "", ("safe.example.com",), "SIMPLE"),
    ]


def test_proxies_in_trouble_come_first() -> None:
    found = proxies.rows([proxy(instance_id="shop/a~0"), proxy(instance_id="shop/z~0", notes=(NOTE,))], {}, config())
    assert [row.instance for row in proxies.listing(found, 7).rows] == ["shop/z~0", "shop/a~0"]
    assert [row.instance for row in proxies.listing(found, 7, text="in sync").rows] == ["shop/a~0"]


@pytest.mark.parametrize(
    ("stage", "states"),
    [
        (Stage.BOTH_TRUSTED, ["now", "to come", "to come"]),
        (Stage.NEW_SIGNS, ["done", "now", "to come"]),
        (Stage.ONE_ROOT, ["done", "done", "now"]),
    ],
)
def test_each_stage_of_a_rotation_is_a_step_that_waits_for_somebody(stage: Stage, states: list[str]) -> None:
    waiting = tuple(f"shop/late~{number}" for number in range(certificates.NAMED + 3))
    rotation = Rotation(running=True, stage=stage, waiting=waiting, root="aa", root_not_after_ms=1)
    steps = certificates.page([], rotation, "", 0).steps
    assert [step.state for step in steps] == states
    (now,) = [step for step in steps if step.state == "now"]
    assert (now.waiting[0], len(now.waiting), now.more) == (
        ("shop/late~0", "/proxies/shop/late~0"),
        certificates.NAMED,
        3,
    )


def test_a_chain_and_the_trusted_roots_are_read_from_what_proxies_have(tmp_path) -> None:
    authority = Authority(tmp_path, lambda: 1_800_000_000_000)
    leaf = authority.issue("spiffe://cluster.local/ns/shop/sa/web")
    authority.prepare()
    first, second = certificates.chain(leaf.chain_pem)
    assert (first.title, dict(first.facts)["Names"]) == ("Leaf", "spiffe://cluster.local/ns/shop/sa/web")
    assert (second.title, dict(second.facts)["SHA-256"]) == ("Root", authority.fingerprint)
    rotation = Rotation(
        running=True, stage=authority.stage, waiting=(), root=authority.fingerprint, root_not_after_ms=1
    )
    roots = certificates.page([], rotation, authority.bundle_pem, 1_800_000_000_000).roots
    assert [root.role for root in roots] == ["trusted, signs", "trusted, does not sign yet"]


def test_hosts_that_nobody_declared_are_different_kinds_of_outside() -> None:
    caller = WorkloadRef("c", "shop", "web-v1", "web", "v1")
    keys = [
        EdgeKey(caller, ServiceRef("c", "unknown", name), None, Protocol.HTTP)
        for name in ("PassthroughCluster", "BlackHoleCluster")
    ]
    found = {node.label: node.kind for node in project(GraphType.VERSIONED_APP, keys, Inventory()).nodes}
    assert found["PassthroughCluster"] is NodeKind.PASSTHROUGH
    assert found["BlackHoleCluster"] is NodeKind.BLACK_HOLE


def test_flags_are_explained_once_and_a_refusal_without_a_flag_too() -> None:
    found = explained(
        [Outcome("429", "", "RL"), Outcome("503", "", "UF,URX"), Outcome("503", "", "UF"), Outcome("403", "", "-")]
    )
    assert [name for name, _ in found] == ["RL", "UF", "URX", "403"]
    assert "AuthorizationPolicy" in dict(found)["403"]
    assert explained([Outcome("200", "", "-")]) == ()


@pytest.mark.parametrize(
    ("host", "name", "resolution"),
    [("api.example.com", "api-example-com", "DNS"), ("*.example.com", "any-example-com", "NONE")],
)
def test_a_declared_host_is_config_that_the_runtime_takes(host: str, name: str, resolution: str) -> None:
    item = parse(service_entry("shop", host, "443", "HTTPS"))
    assert (item.key.name, item.manifest["spec"]["resolution"]) == (name, resolution)


def test_a_port_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="number"):
        parse(service_entry("shop", "api.example.com", "many", "HTTP"))


@pytest.mark.parametrize(
    ("kind", "spec", "cells"),
    [
        ("AuthorizationPolicy", {"action": "DENY", "rules": [{}]}, ("DENY", "all", 1)),
        (
            "RequestAuthentication",
            {"selector": {"matchLabels": {"app": "a"}}, "jwtRules": [{"issuer": "i"}]},
            ("app=a", "i"),
        ),
        ("Telemetry", {"targetRefs": [{"kind": "Service", "name": "a"}], "tracing": [{}]}, ("Service/a", "tracing")),
        ("EnvoyFilter", {"configPatches": [{"applyTo": "CLUSTER"}] * 2}, ("all", "CLUSTER", 0)),
        ("WorkloadGroup", {"template": {"ports": {"http": 80}}}, ("-", "default", "80/http")),
    ],
)
def test_a_kinds_table_shows_what_it_is_about(kind: str, spec: dict[str, object], cells: tuple[object, ...]) -> None:
    assert COLUMNS[kind][1]({"spec": spec}) == cells
