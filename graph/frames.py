"""Frames of cumulative counts as bytes: key frames, which are complete, and the differences to them.

A frame is a JSON head (who, what, the inventory) and its counts as byte planes, compressed together. The frames
between two key frames hold only what is new since the first: series, columns, and what was counted in the meantime.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard
from pydantic import TypeAdapter

from graph.arrays import Floats, Ints
from graph.columns import Bucket, Column, Field, Requests
from graph.hearing import Hearing
from graph.model import (
    EdgeKey,
    Inventory,
    Outcome,
    Protocol,
    Reporter,
    Security,
    Service,
    ServiceRef,
    Workload,
    WorkloadRef,
)
from graph.ports import Kept
from graph.series import Series, SeriesKey
from graph.windows import EXACT

VERSION = 2
KEY_EVERY_MS = 300_000
"""A key frame begins each slot of this length: coarser tiers of the history consist of them."""

LARGE = 0.8
"""A difference larger than this share of its key frame is made a key frame."""

LEVEL = 3
"""Of zstandard's compression."""

MAX_BYTES = 512 * 1024 * 1024
"""Largest frame that is unpacked."""

Bytes = npt.NDArray[np.uint8]


class FrameError(Exception):
    """Bytes that are no frame of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything counted until one instant."""

    run: int
    """The instant from which on this was counted; frames of different runs have no common zero."""
    at_ms: int
    revision: int
    series: Sequence[Series]
    hearing: Hearing
    columns: Sequence[Column]
    cell_series: Ints
    cell_column: Ints
    values: Floats
    inventory: Inventory


class Record(NamedTuple):
    """A frame as it is kept."""

    kept: Kept
    body: bytes


class Recorder:
    """Packs the frames of one run, each as it comes: as a key frame, or as the difference to the last one."""

    def __init__(self) -> None:
        self._key: Frame | None = None
        self._key_bytes = 0

    def record(self, frame: Frame) -> Record:
        """Pack a frame; the frames before it must be kept, too."""
        key = self._key
        if key is not None and frame.at_ms // KEY_EVERY_MS == key.at_ms // KEY_EVERY_MS and _continues(frame, key):
            body = encode(frame, key)
            if len(body) <= LARGE * self._key_bytes:
                return Record(Kept(frame.at_ms, frame.run, key.at_ms, len(body)), body)
        body = encode(frame)
        self._key, self._key_bytes = frame, len(body)
        return Record(Kept(frame.at_ms, frame.run, frame.at_ms, len(body)), body)


def encode(frame: Frame, key: Frame | None = None) -> bytes:
    """Pack a frame, or its difference to a key frame that it continues."""
    series, columns = (len(key.series), len(key.columns)) if key else (0, 0)
    head = {
        "version": VERSION,
        "key": key.at_ms if key else None,
        "run": frame.run,
        "at": frame.at_ms,
        "revision": frame.revision,
        "why": [[number, why] for number, why in enumerate(frame.hearing.why) if why],
        "columns": [_column_json(column) for column in frame.columns[columns:]],
        **_series_json(frame.series[series:]),
        **({} if key and key.inventory == frame.inventory else _inventory_json(frame.inventory)),
    }
    known = len(key.values) if key else 0
    layout = np.vstack((frame.cell_series, frame.cell_column))[:, known:]
    before = np.zeros(len(frame.values))
    before[:known] = key.values if key else 0.0
    parts = (
        json.dumps(head, separators=(",", ":")).encode(),
        _planes(np.diff(layout, axis=1, prepend=0).ravel()),
        _planes(frame.at_ms - frame.hearing.at_ms),
        np.packbits(frame.hearing.fresh).tobytes() + np.packbits(frame.hearing.seldom).tobytes(),
        *_counts(frame.values, before),
    )
    sizes = np.array([len(frame.values) - known, len(frame.series), *map(len, parts)], "<i8").tobytes()
    return zstandard.ZstdCompressor(level=LEVEL).compress(sizes + b"".join(parts))


def decode(body: bytes, key: Frame | None = None) -> Frame:
    """Unpack a frame; a difference needs its key frame. Raises :class:`FrameError` for anything else."""
    try:
        return _decoded(body, key)
    except (zstandard.ZstdError, ValueError, KeyError, IndexError, TypeError) as wrong:
        raise FrameError(f"no frame: {wrong}") from wrong


def _continues(frame: Frame, key: Frame) -> bool:
    """Whether everything that the key frame has is in the frame, in the same place."""
    series, cells = len(key.series), len(key.values)
    return (
        frame.run == key.run
        and len(frame.values) >= cells
        and len(frame.series) >= series
        and all(one == other for one, other in zip(frame.series, key.series, strict=False))
        and tuple(frame.columns[: len(key.columns)]) == tuple(key.columns)
        and np.array_equal(frame.cell_series[:cells], key.cell_series)
        and np.array_equal(frame.cell_column[:cells], key.cell_column)
    )


def _planes(numbers: Ints) -> bytes:
    """Bytes of equal weight side by side: they compress far better than whole numbers do. Small ones are near zero."""
    folded = (numbers << 1) ^ (numbers >> 63)
    return folded.astype("<i8").view(np.uint8).reshape(-1, 8).T.tobytes()


def _from_planes(planes: Bytes) -> Ints:
    folded = planes.reshape(8, -1).T.copy().view("<u8").reshape(-1)
    return (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)


def _whole(values: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(values) < EXACT) & (values == np.floor(values)), np.bool_)


def _counts(values: Floats, before: Floats) -> Iterator[bytes]:
    """What was counted in between; other than whole numbers are kept as they are, for they must come back exactly."""
    whole = _whole(values) & _whole(before)
    yield np.packbits(whole).tobytes()
    yield _planes((values[whole] - before[whole]).astype(np.int64))
    yield values[~whole].astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes()


def _from_counts(flags: Bytes, increments: Bytes, others: Bytes, before: Floats) -> Floats:
    whole = np.unpackbits(flags, count=len(before)).astype(bool)
    values = before.copy()
    values[whole] += _from_planes(increments)
    values[~whole] = others.reshape(8, -1).T.copy().view("<f8").reshape(-1)
    return values


def _decoded(body: bytes, key: Frame | None) -> Frame:
    if zstandard.frame_content_size(body) > MAX_BYTES:
        raise FrameError("the frame is too large")
    raw = np.frombuffer(zstandard.ZstdDecompressor().decompress(body, MAX_BYTES), np.uint8)
    cells, series, *lengths = (int(size) for size in raw[: 8 * 9].view("<i8"))
    ends = np.cumsum([72, *lengths]).tolist()
    if ends[-1] != len(raw):
        raise FrameError("the frame is cut off")
    text, layout, heard, flags, *counts = (raw[start:end] for start, end in pairwise(ends))
    head = json.loads(text.tobytes())
    if head["version"] != VERSION:
        raise FrameError(f"a frame of version {head['version']}; this program reads version {VERSION}")
    if head["key"] is not None and (key is None or key.at_ms != head["key"]):
        raise FrameError(f"the difference to a frame of {head['key']}, which is not here")
    key = key if head["key"] is not None else None
    placed = np.cumsum(_from_planes(layout).reshape(2, cells), axis=1)
    before = np.concatenate((key.values if key else np.zeros(0), np.zeros(cells)))
    # Earlier programs wrote the first half only.
    fresh, seldom = (np.unpackbits(half, count=series).astype(bool) for half in np.split(flags, [-(-series // 8)]))
    return Frame(
        run=head["run"],
        at_ms=head["at"],
        revision=head["revision"],
        series=[*(key.series if key else ()), *_series_of(head)],
        hearing=Hearing(
            head["at"] - _from_planes(heard),
            fresh,
            _reasons(head["why"], series),
            seldom,
        ),
        columns=[*(key.columns if key else ()), *map(_column_of, head["columns"])],
        cell_series=np.concatenate((key.cell_series, placed[0])) if key else placed[0],
        cell_column=np.concatenate((key.cell_column, placed[1])) if key else placed[1],
        values=_from_counts(counts[0], counts[1], counts[2], before),
        inventory=key.inventory if key and "workloads" not in head else _inventory_of(head),
    )


def _reasons(told: Sequence[tuple[int, str]], series: int) -> list[str]:
    reasons = [""] * (series if told else 0)
    for number, why in told:
        reasons[number] = why
    return reasons


def _series_json(series: Sequence[Series]) -> dict[str, Any]:
    edges = list(dict.fromkeys(one.key.edge for one in series))
    numbers = {edge: number for number, edge in enumerate(edges)}
    return {
        "edges": edges,
        "voices": [[numbers[one.key.edge], *one.key[1:], one.origin, one.since_ms] for one in series],
    }


def _series_of(head: Mapping[str, Any]) -> list[Series]:
    edges = [_edge_of(edge) for edge in head["edges"]]
    return [
        Series(SeriesKey(edges[edge], Reporter(reporter), instance, Security(security), *named), origin, since)
        for edge, reporter, instance, security, *named, origin, since in head["voices"]
    ]


@cache
def _adapters() -> tuple[TypeAdapter[list[Workload]], TypeAdapter[list[Service]]]:
    """Whatever fields the inventory gains are kept, and those that a frame does not know have their defaults."""
    return TypeAdapter(list[Workload]), TypeAdapter(list[Service])


def _inventory_json(inventory: Inventory) -> dict[str, Any]:
    workloads, services = _adapters()
    return {
        "workloads": workloads.dump_python(
            list(inventory.workloads.values()), mode="json", exclude_defaults=True, warnings="error"
        ),
        "services": services.dump_python(
            list(inventory.services.values()), mode="json", exclude_defaults=True, warnings="error"
        ),
    }


def _inventory_of(head: Mapping[str, Any]) -> Inventory:
    workloads, services = _adapters()
    return _inventory(workloads.validate_python(head["workloads"]), services.validate_python(head["services"]))


def _inventory(workloads: Sequence[Workload], services: Sequence[Service]) -> Inventory:
    return Inventory(workloads={one.ref: one for one in workloads}, services={one.ref: one for one in services})


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
