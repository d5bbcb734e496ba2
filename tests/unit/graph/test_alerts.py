"""Alert rules over facts that change."""

from __future__ import annotations

import json
import re

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, inventory, seen, workload

from graph.alerts import Certificate, Facts, Proxy, Rule, RuleKind, State, evaluate, state_json, state_of
from graph.live import LiveGraph
from graph.model import GraphType, Security, Snapshot

CALLS = edge("web", "cart")
PARTIES = inventory(workload("web"), workload("cart"))


class World:
    """A graph that moves on ten seconds at a time, and the alerts on it."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.state = State()
        self.graph = LiveGraph(clock=FixedClock())
        self.graph.inventory(PARTIES)
        self.now = T0
        self.ok = self.failed = 0

    def pass_ten_seconds(self, ok=0, failed=0, *, heard=True, samples=(), security=Security.MUTUAL_TLS, **facts):
        self.ok, self.failed = self.ok + ok, self.failed + failed
        for _ in range(10):
            self.now += 1000
            if heard:
                counters = answered(self.ok, failed=self.failed, samples=samples)
                self.graph.observe([seen(CALLS, counters, at=(self.now - T0) / 1000, security=security)])
            self.graph.tick(self.now)
        return self.judge(self.graph.snapshot(GraphType.VERSIONED_APP, 10), **facts)

    def judge(self, snapshot: Snapshot, **facts):
        self.state, events = evaluate(self.rules, Facts(snapshot=snapshot, **facts), self.state, self.now)
        return [(event.status, event.alert.kind) for event in events]


ERRORS = Rule(name="errors", kind=RuleKind.ERROR_RATIO, threshold=0.1, for_s=15)


def test_an_error_ratio_fires_once_after_its_time_and_resolves():
    world = World(ERRORS)
    assert world.pass_ten_seconds(100) == []
    assert world.pass_ten_seconds(50, 50) == []
    assert world.pass_ten_seconds(50, 50) == []
    assert world.pass_ten_seconds(50, 50) == [("firing", "error_ratio")]
    assert world.pass_ten_seconds(50, 50) == []
    assert world.pass_ten_seconds(100) == [("resolved", "error_ratio")]


def test_a_condition_that_ends_in_time_never_fires():
    world = World(ERRORS)
    world.pass_ten_seconds(50, 50)
    assert world.pass_ten_seconds(100) == []
    assert world.pass_ten_seconds(50, 50) == []
    assert world.state.alerts


def test_a_few_requests_say_nothing_about_errors():
    assert World(Rule(name="errors", kind=RuleKind.ERROR_RATIO, threshold=0.1)).pass_ten_seconds(1, 2) == []


def test_silent_reporters_neither_fire_nor_resolve():
    world = World(Rule(name="errors", kind=RuleKind.ERROR_RATIO, threshold=0.1))
    assert world.pass_ten_seconds(50, 50) == [("firing", "error_ratio")]
    assert world.pass_ten_seconds(heard=False) == []
    assert [alert.firing for alert in world.state.alerts.values()] == [True]


def test_slow_responses_fire_and_say_how_slow_they_are_as_rules_and_pages_do():
    world = World(Rule(name="slow", kind=RuleKind.P99, threshold=500))
    assert world.pass_ten_seconds(20, samples=(4000.0,) * 20) == [("firing", "p99")]
    (alert,) = world.state.alerts.values()
    assert alert.summary == "web → cart: p99 is 1.0 s (limit 500 ms)"


def test_traffic_that_was_never_there_is_not_missed():
    world = World(Rule(name="gone", kind=RuleKind.TRAFFIC_GONE))
    assert world.pass_ten_seconds(0) == []


def test_traffic_that_ends_is_missed_until_it_comes_back():
    world = World(Rule(name="gone", kind=RuleKind.TRAFFIC_GONE, for_s=10))
    assert world.pass_ten_seconds(10) == []
    assert world.pass_ten_seconds(0) == []
    assert world.pass_ten_seconds(0) == [("firing", "traffic_gone")]
    assert world.pass_ten_seconds(10) == [("resolved", "traffic_gone")]


def test_traffic_of_a_workload_that_was_taken_away_is_not_missed():
    world = World(Rule(name="gone", kind=RuleKind.TRAFFIC_GONE))
    world.pass_ten_seconds(10)
    assert world.pass_ten_seconds(0) == [("firing", "traffic_gone")]
    empty = LiveGraph(clock=FixedClock()).snapshot(GraphType.VERSIONED_APP, 10)
    assert world.judge(empty) == [("resolved", "traffic_gone")]


def test_plaintext_between_workloads_with_identities_fires():
    world = World(Rule(name="plain", kind=RuleKind.MTLS_LOST, threshold=1.0))
    assert world.pass_ten_seconds(10) == []
    assert world.pass_ten_seconds(10, security=Security.NONE) == [("firing", "mtls_lost")]


def test_certificates_and_rejected_config_fire():
    world = World(
        Rule(name="cert", kind=RuleKind.CERTIFICATE_EXPIRY, threshold=600),
        Rule(name="nack", kind=RuleKind.CONFIG_REJECTED),
    )
    late = Certificate(identity="spiffe://x/ns/shop/sa/web", namespace="shop", expires_ms=T0 + 400_000)
    proxy = Proxy(name="sidecar~web", namespace="shop", rejected="route: no such cluster")
    events = world.pass_ten_seconds(1, certificates=[late], proxies=[proxy])
    assert events == [("firing", "certificate_expiry"), ("firing", "config_rejected")]
    assert world.pass_ten_seconds(1) == [("resolved", "certificate_expiry"), ("resolved", "config_rejected")]


def test_a_rule_keeps_to_its_namespace_and_app():
    rules = [
        Rule(name="e", kind=RuleKind.ERROR_RATIO, namespace=namespace, app=app)
        for namespace, app in [("x", ""), ("shop", "web")]
    ]
    assert World(*rules).pass_ten_seconds(50, 50) == []
    assert World(Rule(name="e", kind=RuleKind.ERROR_RATIO, namespace="shop", app="cart")).pass_ten_seconds(50, 50)


def test_whatever_find_speaks_of_can_fire():
    world = World(
        Rule(name="slow errors", kind=RuleKind.FIND, find="http > 1 and %err > 5"),
        Rule(name="unhealthy", kind=RuleKind.FIND, find="!healthy and name = cart"),
        Rule(name="elsewhere", kind=RuleKind.FIND, find="%err > 5", namespace="other"),
        Rule(name="unheard", kind=RuleKind.FIND, find="stale"),
    )
    assert world.pass_ten_seconds(100) == []
    world.pass_ten_seconds(50, 50)
    alerts = {alert.rule: alert for alert in world.state.alerts.values()}
    assert {rule: alert.summary for rule, alert in alerts.items()} == {
        "slow errors": "web → cart: http > 1 and %err > 5",
        "unhealthy": "cart: !healthy and name = cart",
    }
    world.pass_ten_seconds(heard=False)
    assert {alert.rule for alert in world.state.alerts.values()} >= {"slow errors", "unheard"}
    world.pass_ten_seconds(100)
    world.pass_ten_seconds(100)
    assert world.state.alerts == {}


@pytest.mark.parametrize(
    ("find", "kind", "words"),
    [
        ("%err > many", RuleKind.FIND, "'many' is not a percentage, as in 5 or 0.5% (at character 8)"),
        (" ", RuleKind.FIND, "go together"),
        ("dead", RuleKind.P99, "go together"),
    ],
)
def test_a_rule_that_finds_nothing_readable_is_refused(find, kind, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Rule(name="x", kind=kind, find=find)


def test_a_restart_neither_repeats_nor_forgets_an_alert():
    world = World(Rule(name="errors", kind=RuleKind.ERROR_RATIO, threshold=0.1))
    world.pass_ten_seconds(50, 50)
    before = set(world.state.alerts)
    world.state = state_of(json.loads(json.dumps(state_json(world.state))))
    assert world.pass_ten_seconds(50, 50) == []
    assert set(world.state.alerts) == before
    assert world.pass_ten_seconds(100) == [("resolved", "error_ratio")]
