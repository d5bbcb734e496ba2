"""What is wrong, and where it leads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.views import alerts, overview
from console.views.peers import peer
from console.views.shell import mtls
from graph.alerts import Alert, RuleKind
from graph.course import Course
from graph.model import Edge, GraphType, Health, Node, NodeKind, Presence, Protocol, Signals, Snapshot


def alert(kind: RuleKind, subject: str) -> Alert:
    return Alert(
        fingerprint="f",
        rule="rule",
        kind=kind,
        subject=subject,
        namespace="shop",
        severity="critical",
        summary="",
        value=1,
        threshold=0,
        since_ms=5,
    )


@pytest.mark.parametrize(
    ("kind", "subject", "now", "then"),
    [
        (RuleKind.P99, "a>b>http", "/graph?sel=a%3Eb%3Ehttp", "/graph?at=7&sel=a%3Eb%3Ehttp"),
        (RuleKind.CERTIFICATE_EXPIRY, "spiffe://x/y", "/certificates?q=spiffe%3A%2F%2Fx%2Fy", None),
        (RuleKind.CONFIG_REJECTED, "shop/cart~0", "/proxies?q=shop%2Fcart~0", None),
    ],
)
def test_an_alert_leads_to_what_it_is_about_as_it_was_then(kind, subject, now, then):
    assert alerts.subject(alert(kind, subject)) == now
    assert alerts.row(alert(kind, subject), "resolved", "ok", 7, is_past=True).href == (then or now)


def snapshot(*clusters: str) -> Snapshot:
    nodes = {
        name: Node(id=name, kind=NodeKind.APP, cluster=cluster, namespace="shop", label=name)
        for name, cluster in zip(("web", "cart"), clusters, strict=True)
    }
    edge = Edge(
        id="e",
        source="web",
        target="cart",
        protocol=Protocol.HTTP,
        signals=Signals(window_s=60, covered_s=60, requests=10, errors=5, error_ratio=0.5),
        health=Health.FAILURE,
        presence=Presence.LIVE,
        evidence=(),
        keys=(),
        at_ms=0,
    )
    return Snapshot(type=GraphType.VERSIONED_APP, window_s=60, revision=1, at_ms=0, nodes=nodes, edges={"e": edge})


@pytest.mark.parametrize(
    ("clusters", "name"), [(("east", "east"), "web → cart"), (("east", "west"), "web → cart in east → west")]
)
def test_trouble_names_its_clusters_where_there_are_several(clusters, name):
    (found,) = overview.trouble(snapshot(*clusters))
    assert found.name == name


def test_a_stale_edge_says_what_its_source_suffers_from():
    shop = snapshot("east", "east")
    old = shop.edges["e"]._replace(presence=Presence.STALE)
    told = [overview.trouble(replace(shop, edges={"e": old._replace(reason=why)}))[0].text for why in ("", "p is down")]
    assert told == [
        "Its proxies are silent; these are the last numbers known.",
        "Nothing newer is known: p is down",
    ]


def test_what_is_not_measured_is_no_word_of_its_own_and_no_zero():
    quiet = snapshot("west", "west")
    edge = quiet.edges["e"]._replace(signals=Signals(window_s=60, covered_s=60))
    quiet = replace(quiet, edges={"e": edge})
    *_, mutual = overview.metrics(quiet, Course(), mtls(quiet))
    assert (mutual.value, mutual.unit) == ("–", "")
    assert peer(quiet, edge, "cart").errors == "–"
