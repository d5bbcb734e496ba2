"""Why something is not well, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.views.reasons import Reasons
from graph.health import DEFAULT
from graph.model import (
    Edge,
    GraphType,
    Health,
    Node,
    NodeKind,
    Outcome,
    Presence,
    Protocol,
    Signals,
    Snapshot,
    Workload,
    WorkloadRef,
)

NODE = Node(id="cart", kind=NodeKind.WORKLOAD, cluster="c", namespace="shop", label="cart", workload="cart")
REF = WorkloadRef("c", "shop", "cart", "cart", "")


def snapshot(protocol: Protocol = Protocol.HTTP, *, target: str = "cart", **codes: float) -> Snapshot:
    outcomes = {Outcome(code.removeprefix("_"), "", "-"): count for code, count in codes.items()}
    edge = Edge(
        id="e",
        source="web" if target == "cart" else "cart",
        target=target,
        protocol=protocol,
        signals=Signals(window_s=60, covered_s=60, outcomes=outcomes),
        health=Health.HEALTHY,
        presence=Presence.LIVE,
        evidence=(),
        keys=(),
        at_ms=0,
    )
    return Snapshot(type=GraphType.WORKLOAD, window_s=60, revision=1, at_ms=0, nodes={"cart": NODE}, edges={"e": edge})


def told(shown: Snapshot, health: Health, *known: Workload) -> str:
    node = NODE._replace(health=health)
    return Reasons(replace(shown, nodes={node.id: node}), DEFAULT).of(node, known)


def test_requests_beyond_a_tolerance_are_named_with_their_codes_and_the_tolerance():
    failing = snapshot(_200=80, _503=15, _500=5)
    assert told(failing, Health.FAILURE) == (
        "20 % of the HTTP requests that came to it in 1 min ended in 503, 500; 10 % of them make it failing."
    )
    refused = snapshot(_200=88, _404=12, target="db")
    assert told(refused, Health.DEGRADED) == (
        "12 % of the HTTP requests that it sent in 1 min ended in 404; 10 % of them make it degraded."
    )


def test_any_failure_counts_where_none_is_borne():
    assert "0.5 % of" in told(snapshot(_200=199, _0=1), Health.DEGRADED)
    assert "ended in no response; any of them makes it degraded." in told(snapshot(_200=199, _0=1), Health.DEGRADED)


@pytest.mark.parametrize(
    ("replicas", "sentence"),
    [
        ({"desired": 3, "available": 2}, "2 of 3 replicas can serve."),
        ({"desired": 0}, "It is scaled down to no replica."),
        ({"desired": 2, "available": 2, "synced": 1}, "1 of 2 proxies have their config."),
    ],
)
def test_replicas_are_the_reason_where_requests_are_not(replicas, sentence):
    workload = Workload(ref=REF, kind=NodeKind.WORKLOAD, replicas=2, **replicas)
    assert told(snapshot(_200=100), Health.DEGRADED, workload) == sentence


def test_what_is_well_needs_no_reason():
    assert told(snapshot(_200=99, _404=1), Health.HEALTHY) == ""
