"""Native histograms as they are sent, and what was counted between two of them. Pure.

https://prometheus.io/docs/specs/native_histograms/. What lies below zero is left out: nothing takes less than no time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from collectors.otlp.limits import MalformedError
from collectors.prometheus.native import Bucket
from collectors.protobuf import messages

CUSTOM = -53
"""The schema whose bounds are listed."""
COARSEST, FINEST = -4, 8
GREATEST = 1023
"""Of the exponents of numbers."""

_MESSAGES = messages(
    "meshscope.remote_write.histogram",
    {
        "Span": [(1, "offset", "sint32"), (2, "length", "uint32")],
        "Histogram": [
            *((1, "count_int", "uint64"), (2, "count_float", "double"), (3, "sum", "double"), (4, "schema", "sint32")),
            *((5, "zero_threshold", "double"), (6, "zero_count_int", "uint64"), (7, "zero_count_float", "double")),
            *((11, "positive_spans", "*Span"), (12, "positive_deltas", "*sint64"), (13, "positive_counts", "*double")),
            *((14, "reset_hint", "int32"), (15, "timestamp", "int64"), (16, "custom_values", "*double")),
            (17, "start_timestamp", "int64"),
        ],
    },
)
"""The same in both versions of remote-write."""
RESET, GAUGE = 1, 3
"""Of ``reset_hint``."""


class Native(NamedTuple):
    """All that a process had counted at an instant."""

    at_ms: int
    start_ms: int
    """When it began to count; 0: not told."""
    samples: float
    total: float
    """Of all samples together."""
    schema: int
    threshold: float
    """Samples up to it are in the zero bucket."""
    zero: float
    buckets: Mapping[int, float]
    """By number, as the schema counts them."""
    bounds: tuple[float, ...]
    """Of the schema :data:`CUSTOM`."""
    hint: int
    """:data:`RESET`, :data:`GAUGE`, or nothing that matters."""


class Grown(NamedTuple):
    """What was counted between two histograms."""

    buckets: Sequence[Bucket]
    samples: float
    total: float


def read_native(body: bytes) -> Native:
    """Read one; what cannot be read is a :class:`MalformedError`."""
    try:
        one = _MESSAGES["Histogram"].FromString(body)
    except DecodeError as trouble:
        raise MalformedError(f"a native histogram cannot be read: {trouble}") from None
    if one.schema != CUSTOM and not COARSEST <= one.schema <= FINEST:
        raise MalformedError(f"a native histogram has the schema {one.schema}, which is not known")
    return Native(
        at_ms=one.timestamp,
        start_ms=one.start_timestamp,
        samples=one.count_int or one.count_float,
        total=one.sum,
        schema=one.schema,
        threshold=one.zero_threshold,
        zero=one.zero_count_int or one.zero_count_float,
        buckets=_buckets(one),
        bounds=tuple(one.custom_values),
        hint=one.reset_hint,
    )


def grown(before: Native | None, after: Native) -> Grown:
    """Say what was counted since *before*: all of it, where there is none or the process has begun anew.

    Of two layouts the coarser one counts. Bounds of one's own that have changed cannot be compared: nothing is said.
    """
    if before is None:
        return Grown(list(_ends(after)), after.samples, after.total)
    if (before.bounds, before.schema == CUSTOM) != (after.bounds, after.schema == CUSTOM):
        return Grown((), 0.0, 0.0)
    schema, threshold = min(before.schema, after.schema), max(before.threshold, after.threshold)
    old, new = _coarser(before, schema, threshold), _coarser(after, schema, threshold)
    numbers = {*old.buckets, *new.buckets}
    more = {number: new.buckets.get(number, 0.0) - old.buckets.get(number, 0.0) for number in numbers}
    fell = new.samples < old.samples or new.zero < old.zero or min(more.values(), default=0.0) < 0
    if fell or after.hint == RESET or after.start_ms > before.at_ms:
        return grown(None, after)
    left = new._replace(zero=new.zero - old.zero, buckets=more)
    return Grown(list(_ends(left)), new.samples - old.samples, max(0.0, new.total - old.total))


def _buckets(one: Any) -> Mapping[int, float]:
    counts = list(one.positive_counts) or list(accumulate(one.positive_deltas))
    if sum(span.length for span in one.positive_spans) != len(counts):
        raise MalformedError("a native histogram's spans are not as long as there are buckets")
    buckets = dict(zip(_numbers(one.positive_spans), counts, strict=True))
    if one.schema == CUSTOM and not all(0 <= number <= len(one.custom_values) for number in buckets):
        raise MalformedError("a native histogram has buckets beyond its bounds")
    return buckets


def _numbers(spans: Sequence[Any]) -> Iterator[int]:
    """Number the buckets: each span begins so far behind the end of the one before."""
    at = 0
    for span in spans:
        at += span.offset
        yield from range(at, at + span.length)
        at += span.length


def _coarser(one: Native, schema: int, threshold: float) -> Native:
    """Put buckets together: two become one with each step of the schema, small ones join the zero bucket."""
    if one.schema == CUSTOM:
        return one
    shift = one.schema - schema
    buckets: defaultdict[int, float] = defaultdict(float)
    zero = one.zero
    for number, count in one.buckets.items():
        coarse = (number - 1 >> shift) + 1
        if _bound(coarse, schema) <= threshold:
            zero += count
        else:
            buckets[coarse] += count
    return one._replace(schema=schema, threshold=threshold, zero=zero, buckets=buckets)


def _ends(one: Native) -> Iterator[Bucket]:
    """Yield the buckets with their bounds, ascending."""
    if one.zero:
        yield 0.0, one.threshold, one.zero
    for number, count in sorted(one.buckets.items()):
        if one.schema == CUSTOM:
            bounds = (0.0, *one.bounds, float("inf"))
            yield bounds[number], bounds[number + 1], count
        else:
            yield max(one.threshold, _bound(number - 1, one.schema)), _bound(number, one.schema), count


def _bound(number: int, schema: int) -> float:
    """The upper end of a bucket."""
    return float(2.0 ** min(number * 2.0**-schema, GREATEST))
