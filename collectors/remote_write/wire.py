"""The two messages of remote-write, with the fields that matter. Pure.

https://prometheus.io/docs/specs/prw/remote_write_spec/, https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import cramjam
from google.protobuf.message import DecodeError

from collectors.otlp.limits import MalformedError, TooLargeError
from collectors.protobuf import messages

V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
NAME = b"__name__"

_V1 = messages(
    "meshscope.remote_write.v1",
    {
        "Label": [(1, "name", "bytes"), (2, "value", "bytes")],
        "Sample": [(1, "value", "double"), (2, "timestamp", "int64")],
        "TimeSeries": [
            (1, "labels", "*bytes"),
            (2, "samples", "*Sample"),
            (3, "exemplars", "*bytes"),
            (4, "histograms", "*bytes"),
        ],
        "WriteRequest": [(1, "timeseries", "*TimeSeries")],
    },
)
_V2 = messages(
    "meshscope.remote_write.v2",
    {
        "Sample": [(1, "value", "double"), (2, "timestamp", "int64"), (3, "start_timestamp", "int64")],
        "TimeSeries": [
            *((1, "labels_refs", "*uint32"), (2, "samples", "*Sample"), (3, "histograms", "*bytes")),
            # Release candidates told the beginning per series, later ones per sample.
            *((4, "exemplars", "*bytes"), (6, "created_timestamp", "int64")),
        ],
        "Request": [(4, "symbols", "*bytes"), (5, "timeseries", "*TimeSeries")],
    },
)
Label = tuple[bytes, bytes]


class Pushed(NamedTuple):
    """One series of a request."""

    key: bytes
    """Tells it from all others."""
    name: bytes
    """Of its metric."""
    labels: Callable[[], list[Label]]
    samples: Sequence[tuple[int, float]]
    """Instants and values."""
    start_ms: int
    """When the process began to count it; 0: not told."""
    histograms: Sequence[bytes]
    """Native ones, not read yet."""
    exemplars: int


def decompress(body: bytes, most: int) -> bytes:
    """Undo snappy's block format, whose first bytes say how much comes out."""
    try:
        if cramjam.snappy.decompress_raw_len(body) > most:
            raise TooLargeError(f"more than {most} bytes after decompression; set a smaller max_samples_per_send")
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as trouble:
        raise MalformedError(f"the body is not in snappy's block format: {trouble}") from None


def read(body: bytes, message: str) -> Iterator[Pushed]:
    """Read a request; what cannot be read is a :class:`MalformedError`."""
    try:
        return (
            _read_v2(_V2["Request"].FromString(body))
            if message == V2
            else _read_v1(_V1["WriteRequest"].FromString(body))
        )
    except DecodeError as trouble:
        raise MalformedError(f"the body is no {message}: {trouble}") from None


def _read_v1(request: Any) -> Iterator[Pushed]:
    for one in request.timeseries:
        raw = list(one.labels)
        yield Pushed(
            b"".join(raw),
            _name_v1(raw),
            partial(_labels_v1, raw),
            [(sample.timestamp, sample.value) for sample in one.samples],
            0,
            one.histograms,
            len(one.exemplars),
        )


def _name_v1(raw: Sequence[bytes]) -> bytes:
    """Labels are sorted by name, so that the metric's mostly comes first."""
    return next((value for name, value in map(_label, raw) if name == NAME), b"")


def _labels_v1(raw: Sequence[bytes]) -> list[Label]:
    return [_label(one) for one in raw]


def _label(raw: bytes) -> Label:
    try:
        label = _V1["Label"].FromString(raw)
    except DecodeError as trouble:
        raise MalformedError(f"a label cannot be read: {trouble}") from None
    return label.name, label.value


def _read_v2(request: Any) -> Iterator[Pushed]:
    symbols = list(request.symbols)
    if symbols and symbols[0]:
        raise MalformedError("the first symbol must be the empty one")
    for one in request.timeseries:
        refs = list(one.labels_refs)
        if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
            raise MalformedError(f"label references must be pairs of numbers below {len(symbols)}")
        words = [symbols[ref] for ref in refs]
        labels = list(zip(words[::2], words[1::2], strict=True))
        starts = [one.created_timestamp, *(sample.start_timestamp for sample in one.samples)]
        yield Pushed(
            b"\xff".join(words),
            next((value for name, value in labels if name == NAME), b""),
            partial(list, labels),
            [(sample.timestamp, sample.value) for sample in one.samples],
            max(starts),
            one.histograms,
            len(one.exemplars),
        )
