"""Frames for the disk, which of them stay, and windows put together from them."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pytest
import zstandard
from clocks import FixedClock
from graph_words import T0, answered, edge, inventory, seen, service, workload

from graph.frames import KEY_EVERY_MS, FrameError, Recorder, decode, encode
from graph.history import Stamp, is_watched, legs, rebuild
from graph.live import LiveGraph
from graph.model import GraphType, Inventory, NodeKind, Presence, Service, Workload, WorkloadRef
from graph.ports import Kept
from graph.retention import HOUR_MS, surplus

VAPP = GraphType.VERSIONED_APP
WEB_CART = "vapp:Kubernetes/shop/web>vapp:Kubernetes/shop/cart/v1>http"


def shop(seconds, *, began_ms=T0, before=0, each=lambda _second, _graph: None):
    """A graph that watches web call cart ten times a second; another callee comes after 40 s."""
    graph = LiveGraph(clock=FixedClock(began_ms))
    graph.inventory(inventory(workload("web"), workload("cart", "v1")))
    offset = (began_ms - T0) // 1000
    for second in range(1, seconds + 1):
        at, total = offset + second, before + 10 * second
        batch = [seen(edge("web", "cart@v1"), answered(total, samples=(7.3,) * total), at=at, epoch=T0)]
        if second > 40:
            batch.append(seen(edge("web", "pay"), answered(second), at=at, epoch=began_ms))
        graph.observe(batch)
        graph.tick(began_ms + 1000 * second)
        each(second, graph)
    return graph


def same(one, other) -> bool:
    arrays = ("cell_series", "cell_column", "values")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and (
        (one.run, one.at_ms, one.revision, list(one.series), list(one.columns), one.inventory)
        == (other.run, other.at_ms, other.revision, list(other.series), list(other.columns), other.inventory)
        and np.array_equal(one.hearing.at_ms, other.hearing.at_ms)
        and np.array_equal(one.hearing.fresh, other.hearing.fresh)
    )


def test_a_window_of_the_past_is_rebuilt_exactly():
    frames, known = [], {}

    def keep(second, graph):
        if second % 10 == 0:
            frames.append(encode(graph.frame()))
            known[second] = {kind: graph.snapshot(kind, 10) for kind in GraphType}

    shop(100, each=keep)
    for second, snapshots in known.items():
        then = [decode(frame) for frame in frames[max(0, second // 10 - 2) : second // 10]]
        for kind, snapshot in snapshots.items():
            rebuilt = rebuild(then, kind, 10, T0 + 1000 * second + 500)
            assert rebuilt.nodes == snapshot.nodes
            assert {id_: one.signals for id_, one in rebuilt.edges.items()} == {
                id_: one.signals for id_, one in snapshot.edges.items()
            }
    assert rebuild([decode(frames[3])], VAPP, 10, T0 + 30_000) is None


def test_differences_to_key_frames_give_the_frames_back():
    recorder, records, frames = Recorder(), [], []

    def keep(second, graph):
        if second % 10 == 0:
            frames.append(graph.frame())
            records.append(recorder.record(frames[-1]))

    shop(700, each=keep)
    keys = {record.kept.at_ms: decode(record.body) for record in records if record.kept.key_ms == record.kept.at_ms}
    # At the beginning and in each new slot; a difference to few counts is as large as they are, so some come early.
    assert {at_ms // KEY_EVERY_MS for at_ms in keys} == {frame.at_ms // KEY_EVERY_MS for frame in frames}
    assert len(keys) < len(records) / 4
    for record, frame in zip(records, frames, strict=True):
        key = keys[record.kept.key_ms]
        assert same(frame, key if record.kept.key_ms == frame.at_ms else decode(record.body, key))
        assert record.kept == Kept(frame.at_ms, T0, key.at_ms, len(record.body))


def test_counts_that_are_not_whole_come_back_to_the_last_bit():
    graph = LiveGraph(clock=FixedClock())
    chance, told, key = random.Random(1), [0.0] * 20, None
    for second in range(1, 30):
        told = [count + chance.random() * 10 ** chance.randint(-3, 18) for count in told]
        graph.observe(seen(edge("web", f"a{n}"), answered(count), at=second) for n, count in enumerate(told))
        graph.tick(T0 + 1000 * second)
        frame = graph.frame()
        key = key or frame
        assert same(decode(encode(frame, key), key), frame)


def test_a_difference_without_its_key_frame_is_refused():
    frames = []
    shop(3, each=lambda _second, graph: frames.append(graph.frame()))
    body = encode(frames[2], frames[0])
    for key in (None, frames[1]):
        with pytest.raises(FrameError, match="which is not here"):
            decode(body, key)


@pytest.mark.parametrize(
    "damage",
    [b"", b"x", zstandard.compress(b"\xff" * 200), None],
)
def test_damaged_frames_are_refused(damage):
    data = encode(shop(3).frame())[:-20] if damage is None else damage
    with pytest.raises(FrameError):
        decode(data)


def test_a_frame_that_says_it_is_huge_is_not_unpacked():
    bomb = zstandard.compress(bytes(600 * 1024 * 1024), 1)
    with pytest.raises(FrameError, match="too large"):
        decode(bomb)


def test_a_window_over_a_restart_is_the_sum_of_what_each_run_counted():
    kept = []
    shop(30, each=lambda _second, graph: kept.append(graph.frame()))
    # Ten seconds later the next server's first reading finds 400 requests, which it has not seen come.
    new = shop(20, began_ms=T0 + 40_000, before=400)
    frames = [kept[9], kept[29], new.frame()]
    snapshot = rebuild(frames, VAPP, 50, T0 + 60_000)
    found = snapshot.edges[WEB_CART]
    assert found.signals.requests == (300 - 100) + (600 - 410)
    assert found.signals.covered_s == 20 + 20
    assert found.signals.p50_ms == pytest.approx(7.5)
    assert found.presence is Presence.LIVE
    assert [one.instances for one in found.evidence] == [1]
    assert rebuild(frames, VAPP, 20, T0 + 60_000).edges[WEB_CART].signals.requests == 190


def test_what_only_the_former_run_saw_is_stale_and_covered_until_then():
    former, kept = LiveGraph(clock=FixedClock()), None
    former.observe([seen(edge("web", "gone"), answered(50), at=30)])
    former.tick(T0 + 30_000)
    kept = former.frame()
    snapshot = rebuild([kept, shop(20, began_ms=T0 + 40_000).frame()], VAPP, 60, T0 + 60_000)
    (found,) = [one for one in snapshot.edges.values() if one.target.endswith("gone")]
    assert (found.signals.requests, found.signals.covered_s, found.presence) == (50, 30, Presence.STALE)


def test_a_window_begins_with_the_nearest_frame_of_its_run():
    stamps = [Stamp(0, at_ms) for at_ms in (10_000, 20_000, 30_000, 40_000)]
    assert legs(stamps, 12, 40_500) == ((Stamp(0, 30_000), Stamp(0, 40_000)),)
    assert legs(stamps, 17, 40_500) == ((Stamp(0, 20_000), Stamp(0, 40_000)),)
    assert legs(stamps, 99, 40_500) == ((Stamp(0, 0), Stamp(0, 40_000)),)
    assert legs(stamps, 60, 9_000) == ()
    later = [*stamps, Stamp(50_000, 60_000), Stamp(70_000, 80_000)]
    assert legs(later, 45, 80_000) == (
        (Stamp(0, 30_000), Stamp(0, 40_000)),
        (Stamp(50_000, 50_000), Stamp(50_000, 60_000)),
        (Stamp(70_000, 70_000), Stamp(70_000, 80_000)),
    )


def test_a_time_in_which_nobody_watched_has_no_window():
    stamps = [Stamp(0, 10_000), Stamp(0, 3_600_000), Stamp(7_200_000, 7_210_000)]
    assert is_watched(stamps, 10, 1_800_000)
    assert is_watched(stamps, 10, 3_620_000)
    assert not is_watched(stamps, 10, 5_000_000)
    assert is_watched(stamps, 1800, 5_000_000)
    assert not is_watched(stamps, 10, 9_000)


def history_of(hours, *, step_ms=10_000, key=10_000, difference=2_000):
    """What a server that ran for so long has appended, thinned as it went."""
    kept, now, key_ms = [], 0, 0
    for at_ms in range(step_ms, hours * HOUR_MS + 1, step_ms):
        now = at_ms
        if not kept or at_ms // KEY_EVERY_MS != key_ms // KEY_EVERY_MS:
            key_ms = at_ms
        kept.append(Kept(at_ms, 0, key_ms, key if key_ms == at_ms else difference))
        if at_ms % HOUR_MS == 0:
            gone = surplus(kept, now, 720 * HOUR_MS, 10**12)
            kept = [frame for frame in kept if frame.at_ms not in gone]
    return kept, now


def gaps(kept, now, from_h, to_h):
    """The gaps between frames of these ages, in seconds."""
    ages = [frame.at_ms for frame in kept if from_h * HOUR_MS <= now - frame.at_ms <= to_h * HOUR_MS]
    return np.diff(ages) / 1000


def test_the_older_the_history_the_coarser():
    kept, now = history_of(720, step_ms=20_000)
    assert set(gaps(kept, now, 0, 1)) == {20}
    assert gaps(kept, now, 1.1, 6).max() <= 60
    assert gaps(kept, now, 7.1, 48).max() <= 300
    assert gaps(kept, now, 49.1, 168).max() <= 900
    assert gaps(kept, now, 169.1, 719).max() <= 3600
    assert kept[0].at_ms < 2 * HOUR_MS
    assert len(kept) < 2500


def test_every_difference_that_stays_has_its_key_frame():
    kept, _ = history_of(100)
    instants = {frame.at_ms for frame in kept}
    assert {frame.key_ms for frame in kept} <= instants


@pytest.mark.parametrize("capacity", [10_000_000, 3_000_000, 900_000, 20_000])
def test_a_history_that_is_too_large_grows_coarser_before_it_grows_shorter(capacity):
    kept, now = history_of(200)
    gone = surplus(kept, now, 720 * HOUR_MS, capacity)
    staying = [frame for frame in kept if frame.at_ms not in gone]
    assert sum(frame.size for frame in staying) <= capacity
    assert staying[-1] == kept[-1]
    assert {frame.key_ms for frame in staying} <= {frame.at_ms for frame in staying}
    if capacity >= 3_000_000:
        assert set(gaps(staying, now, 0, 1)) == {10}
        assert staying[0].at_ms < 50 * HOUR_MS


def test_what_is_older_than_the_retention_goes_but_for_key_frames_in_use():
    kept = [Kept(1_000, 0, 1_000, 5), Kept(2_000, 0, 1_000, 1), Kept(50_000, 0, 1_000, 1)]
    assert surplus(kept, 60_000, 20_000, 10**9) == {2_000}


def test_everything_that_is_known_of_workloads_and_services_comes_back():
    ref, host = workload("web"), service("pay")
    known = Workload(
        ref=ref,
        kind=NodeKind.GATEWAY,
        replicas=2,
        service_account="web",
        labels={"a": "b"},
        badges=("fault-injection",),
        annotations={"c": "d"},
        hosts=("shop.example",),
        entries=("web-1",),
        available=1,
        desired=3,
        synced=1,
    )
    called = Service(
        ref=host,
        kind=NodeKind.EXTERNAL,
        hosts=("pay.example",),
        workloads=(ref,),
        ports={443: "https"},
        badges=("timeout",),
        labels={"e": "f"},
        annotations={"g": "h"},
        location="MESH_EXTERNAL",
        entry="pay",
        routes=("pay.example",),
        addresses=("203.0.113.7",),
        endpoints=3,
        ready=2,
    )
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(Inventory(workloads={ref: known}, services={host: called}))
    graph.tick(T0 + 1000)
    kept = decode(encode(graph.frame())).inventory
    assert kept == Inventory(workloads={ref: known}, services={host: called})
    assert isinstance(kept.workloads[ref].ref, WorkloadRef)
    unset = [one for item in (known, called) for one in fields(item) if getattr(item, one.name) in ("", (), {}, None)]
    assert not unset, "this test gives every field a value"
