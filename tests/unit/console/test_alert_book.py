import json

import pytest

from console.alerts import AlertBook, rules_of
from console.settings import Endpoint, SettingsError
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.webhooks.signing import new_secret
from graph.alerts import Facts, Proxy, Rule, RuleKind
from graph.model import GraphType, Snapshot

NOTHING = Snapshot(type=GraphType.VERSIONED_APP, window_s=60, revision=1, at_ms=0, nodes={}, edges={})
CALM = Facts(snapshot=NOTHING)
REJECTED = Facts(snapshot=NOTHING, proxies=(Proxy(name="catalog-v2", namespace="shop", rejected="bad route"),))
RULE = Rule(name="Config rejected", kind=RuleKind.CONFIG_REJECTED)
ENDPOINTS = (
    Endpoint(name="inbox", url="http://127.0.0.1:1/", secrets=(new_secret(),)),
    Endpoint(name="am", url="http://127.0.0.1:2/", format="alertmanager", events=("alert.firing",)),
)


async def book(database) -> AlertBook:
    one = AlertBook(database, rules=(RULE,), endpoints=ENDPOINTS, page="http://localhost:20001")
    await one.open()
    return one


@pytest.fixture
async def database(tmp_path):
    async with StateDatabase(tmp_path / "state.db") as one:
        await DeliveryLog(one).create()
        yield one


async def test_what_fires_is_kept_and_queued_for_every_endpoint_that_wants_it(database):
    alerts = await book(database)
    await alerts.judge(REJECTED, 1000)
    assert [alert.subject for alert in alerts.firing] == ["catalog-v2"]
    await alerts.judge(CALM, 2000)
    assert [noted.status for noted in await alerts.events()] == ["resolved", "firing"]
    queued = [(d.message.endpoint, d.message.type) for d in await DeliveryLog(database).recent()]
    assert sorted(queued) == [("am", "alert.firing"), ("inbox", "alert.firing"), ("inbox", "alert.resolved")]


async def test_a_process_that_starts_again_does_not_fire_again(database):
    await (await book(database)).judge(REJECTED, 1000)
    later = await book(database)
    assert later.firing
    assert await later.judge(REJECTED, 2000) == ()
    assert [event.status for event in await later.judge(CALM, 3000)] == ["resolved"]


async def test_the_bodies_are_those_of_the_two_standards(database):
    await (await book(database)).judge(REJECTED, 1_700_000_000_000)
    bodies = {
        d.message.endpoint: (d.message.id, json.loads(d.message.body)) for d in await DeliveryLog(database).recent()
    }
    name, standard = bodies["inbox"]
    assert "." not in name
    assert (standard["type"], standard["timestamp"]) == ("alert.firing", "2023-11-14T22:13:20.000Z")
    assert standard["data"]["summary"] == "catalog-v2 rejected its config: bad route"
    _, alertmanager = bodies["am"]
    assert (alertmanager["version"], alertmanager["status"], alertmanager["receiver"]) == ("4", "firing", "am")
    (alert,) = alertmanager["alerts"]
    assert alert["labels"]["alertname"] == "Config rejected"
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert alert["fingerprint"] == standard["data"]["fingerprint"]


def test_rules_come_from_the_settings_or_are_built_in():
    (rule,) = rules_of([{"name": "slow", "kind": "p99", "threshold": 250, "for_s": 5}])
    assert (rule.kind, rule.threshold) == (RuleKind.P99, 250)
    assert len(rules_of([])) > 3
    with pytest.raises(SettingsError, match="kind"):
        rules_of([{"name": "x", "kind": "vibes"}])
