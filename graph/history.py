"""Frames of cumulative counts for the disk, and snapshots of any window rebuilt from two of them.

A frame is complete in itself: a JSON head (who, what, the inventory) and the counts as little-endian doubles, both
compressed. Where nothing was lost in between, a window is the later frame less the earlier one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph.health import DEFAULT, Tolerance
from graph.merge import Bucket, Column, Field, Floats, Ints, Requests, SeriesKey
from graph.model import (
    EdgeKey,
    GraphType,
    Inventory,
    NodeKind,
    Outcome,
    Protocol,
    Reporter,
    Security,
    Service,
    ServiceRef,
    Snapshot,
    Workload,
    WorkloadRef,
)
from graph.moment import assemble
from graph.tally import Hearing, Period, Voice, Voices

VERSION = 1
STEP_S = 10
"""How often a frame is kept."""

MAX_BYTES = 512 * 1024 * 1024
"""Largest frame that is unpacked."""


class FrameError(Exception):
    """Bytes that are no frame of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything counted until one instant."""

    run: int
    """The instant from which on this was counted; frames of different runs have no common zero."""
    at_ms: int
    revision: int
    voices: Sequence[Voice]
    hearing: Hearing
    columns: Sequence[Column]
    cell_series: Ints
    cell_column: Ints
    values: Floats
    inventory: Inventory


def rebuild(
    frames: Sequence[Frame],
    kind: GraphType,
    window_s: int,
    at_ms: int,
    tolerances: Sequence[Tolerance] = DEFAULT,
) -> Snapshot | None:
    """Build the snapshot of the window that ends with the newest frame not later than ``at_ms``.

    Of ``frames`` it needs that one and the one nearest to the window's start; without the second the window holds
    what was counted since the run began. ``None`` without any frame early enough.
    """
    now = max((frame for frame in frames if frame.at_ms <= at_ms), key=lambda frame: frame.at_ms, default=None)
    if now is None:
        return None
    start = now.at_ms - 1000 * window_s
    earlier = [frame for frame in frames if frame.run == now.run and frame.at_ms < now.at_ms]
    then = min(earlier, key=lambda frame: abs(frame.at_ms - start), default=None)
    # The run itself is a frame, of zeros.
    if then is None or abs(now.run - start) < abs(then.at_ms - start):
        counts, from_ms = now.values, now.run
    else:
        counts, from_ms = np.maximum(now.values - _aligned(then, now), 0.0), then.at_ms
    return assemble(
        Voices(now.voices, now.inventory),
        now.hearing,
        Period(from_ms, now.at_ms, counts, now.cell_series, now.cell_column, now.columns),
        now.inventory,
        kind,
        window_s=window_s,
        revision=now.revision,
        tolerances=tolerances,
    )


def encode(frame: Frame) -> bytes:
    """Pack a frame."""
    edges = list(dict.fromkeys(voice.key.edge for voice in frame.voices))
    numbers = {edge: number for number, edge in enumerate(edges)}
    head = {
        "version": VERSION,
        "run": frame.run,
        "at": frame.at_ms,
        "revision": frame.revision,
        "edges": edges,
        "voices": [[numbers[voice.key.edge], *voice.key[1:], voice.origin, voice.since_ms] for voice in frame.voices],
        "heard": [frame.hearing.at_ms.tolist(), frame.hearing.fresh.tolist()],
        "columns": [_column_json(column) for column in frame.columns],
        "workloads": [
            [
                one.ref,
                one.kind,
                one.replicas,
                one.service_account,
                dict(one.labels),
                one.badges,
                dict(one.annotations),
            ]
            for one in frame.inventory.workloads.values()
        ],
        "services": [
            [
                one.ref,
                one.kind,
                one.hosts,
                one.workloads,
                list(one.ports.items()),
                one.badges,
                dict(one.labels),
                dict(one.annotations),
            ]
            for one in frame.inventory.services.values()
        ],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    cells = np.vstack((frame.cell_series, frame.cell_column)).astype("<i4").tobytes()
    # Bytes of equal weight side by side compress far better than whole doubles do.
    counts = frame.values.astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes()
    sizes = np.array([len(text), len(frame.values)], "<i8").tobytes()
    return zlib.compress(sizes + text + cells + counts, 3)


def decode(data: bytes) -> Frame:
    """Unpack a frame; raises :class:`FrameError` for anything else."""
    try:
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(data, MAX_BYTES)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise FrameError("the frame is cut off, or too large")
        length, cells = (int(size) for size in np.frombuffer(raw, "<i8", 2))
        head = json.loads(raw[16 : 16 + length])
        if head["version"] != VERSION:
            raise FrameError(f"a frame of version {head['version']}; this program reads version {VERSION}")
        return _frame(head, raw[16 + length :], cells)
    except (zlib.error, ValueError, KeyError, IndexError, TypeError) as wrong:
        raise FrameError(f"no frame: {wrong}") from wrong


def _frame(head: Mapping[str, Any], rest: bytes, cells: int) -> Frame:
    numbers = np.frombuffer(rest, "<i4", 2 * cells).astype(np.int64).reshape(2, cells)
    counts = np.frombuffer(rest, np.uint8, 8 * cells, 8 * cells).reshape(8, cells).T.copy().view("<f8").reshape(-1)
    edges = [_edge_of(edge) for edge in head["edges"]]
    return Frame(
        run=head["run"],
        at_ms=head["at"],
        revision=head["revision"],
        voices=[
            Voice(SeriesKey(edges[edge], Reporter(reporter), instance, Security(security), *named), origin, since)
            for edge, reporter, instance, security, *named, origin, since in head["voices"]
        ],
        hearing=Hearing(np.array(head["heard"][0], np.int64), np.array(head["heard"][1], bool)),
        columns=[_column_of(column) for column in head["columns"]],
        cell_series=numbers[0],
        cell_column=numbers[1],
        values=counts.astype(np.float64),
        inventory=_inventory_of(head),
    )


def _aligned(then: Frame, now: Frame) -> Floats:
    """The earlier counts in the later frame's cells; what was not counted yet is zero."""
    columns = {column: number for number, column in enumerate(now.columns)}
    series = {voice.key: number for number, voice in enumerate(now.voices)}
    place = np.full((len(now.voices), len(now.columns)), -1)
    place[now.cell_series, now.cell_column] = np.arange(len(now.values))
    row = np.array([series.get(voice.key, -1) for voice in then.voices], np.int64)[then.cell_series]
    column = np.array([columns.get(one, -1) for one in then.columns], np.int64)[then.cell_column]
    cell = np.where((row >= 0) & (column >= 0), place[row, column], -1) if len(place) else np.full(len(row), -1)
    aligned = np.zeros(len(now.values))
    aligned[cell[cell >= 0]] = then.values[cell >= 0]
    return aligned


def _column_json(column: Column) -> list[Any]:
    if isinstance(column, Requests):
        return ["r", column.protocol, *column.outcome]
    if isinstance(column, Bucket):
        return ["b", column.low, str(column.high)]
    return ["f", column]


def _column_of(data: Sequence[Any]) -> Column:
    match data:
        case ["r", protocol, code, grpc, flags]:
            return Requests(Protocol(protocol), Outcome(code, grpc, flags))
        case ["b", low, high]:
            return Bucket(low, float(high))
        case ["f", name]:
            return Field(name)
    raise FrameError(f"no column: {data!r}")


def _edge_of(data: Sequence[Any]) -> EdgeKey:
    source, service, target, protocol = data
    return EdgeKey(
        WorkloadRef(*source),
        ServiceRef(*service) if service else None,
        WorkloadRef(*target) if target else None,
        Protocol(protocol),
    )


def _inventory_of(head: Mapping[str, Any]) -> Inventory:
    workloads = [
        Workload(
            ref=WorkloadRef(*ref),
            kind=NodeKind(kind),
            replicas=replicas,
            service_account=account,
            labels=labels,
            badges=tuple(badges),
            annotations=later[0] if later else {},
        )
        for ref, kind, replicas, account, labels, badges, *later in head["workloads"]
    ]
    services = [
        Service(
            ref=ServiceRef(*ref),
            kind=NodeKind(kind),
            hosts=tuple(hosts),
            workloads=tuple(WorkloadRef(*one) for one in members),
            ports=dict(ports),
            badges=tuple(badges),
            labels=later[0] if later else {},
            annotations=later[1] if later else {},
        )
        for ref, kind, hosts, members, ports, badges, *later in head["services"]
    ]
    return Inventory(workloads={one.ref: one for one in workloads}, services={one.ref: one for one in services})
