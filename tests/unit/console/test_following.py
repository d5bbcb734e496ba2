"""Whom a change is just reaching, and who does not follow."""

from __future__ import annotations

from console.following import PATIENCE_MS, Following
from console.views.shell import sync
from mesh_runtime.control import ProxyStatus
from mesh_runtime.registry import Role
from mesh_runtime.xds.stream import TypeStatus

REFUSED = {"LDS": TypeStatus(sent="b", acked="a", rejected="no such filter", at_ms=1)}


def proxy(name: str, *, revision: int = 7, in_sync: bool = False, types=None, problem: str = "") -> ProxyStatus:
    return ProxyStatus(
        node_id=name,
        instance_id=name,
        namespace="shop",
        workload=name,
        role=Role.SIDECAR,
        connected=True,
        revision_acked=revision,
        in_sync=in_sync,
        types=types or {},
        problem=problem,
    )


def test_a_change_that_is_on_its_way_is_no_trouble():
    following, all_behind = Following(), (proxy("a"), proxy("b"))
    assert following.astray(all_behind, 0) == {}
    assert sync(all_behind, 0) == "syncing …"
    following.astray((proxy("a", in_sync=True), proxy("b", in_sync=True)), 1000)
    assert following.astray(all_behind, PATIENCE_MS) == {}


def test_whoever_has_not_moved_for_seconds_does_not_follow():
    following, proxies = Following(), (proxy("a"), proxy("b", in_sync=True))
    following.astray(proxies, 0)
    assert following.astray(proxies, PATIENCE_MS) == {"a": "has not acknowledged the newest config"}
    assert sync(proxies, 1) == "1 of 2"


def test_whoever_moves_with_every_change_follows():
    following = Following()
    following.astray((proxy("a", revision=7),), 0)
    assert following.astray((proxy("a", revision=8),), PATIENCE_MS) == {}


def test_who_refuses_something_is_told_of_at_once():
    told = Following().astray((proxy("a", types=REFUSED), proxy("b", problem="no patch applies")), 0)
    assert told == {"a": "rejected its config: no such filter", "b": "no patch applies"}
