"""Prometheus' text format, and OpenMetrics'. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from collectors.exposition import escaped

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TOTAL = "_total"


class Sample(NamedTuple):
    """One line."""

    labels: str
    """As :func:`labels` writes them."""
    value: float
    suffix: str = ""
    """What follows the family's name: ``_bucket``, ``_sum``, ``_count``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric."""

    name: str
    kind: str
    """``counter``, ``gauge``, ``histogram``, ``summary`` or ``untyped``."""
    help: str
    samples: Iterable[Sample]


def labels(values: Mapping[str, str]) -> str:
    """Write labels, without the braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in values.items())


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Write a page; families without samples are left out."""
    lines = [line for family in families for line in _lines(family, openmetrics=openmetrics)]
    return "\n".join([*lines, "# EOF"] if openmetrics else lines) + "\n"


def number(value: float) -> str:
    """Write a number so that reading it gives the same one."""
    value = float(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _lines(family: Family, *, openmetrics: bool) -> Iterator[str]:
    name, kind = family.name, family.kind
    if openmetrics:
        name = name.removesuffix(TOTAL) if kind == "counter" else name
        kind = "unknown" if kind == "untyped" else kind
    heading = [f"# HELP {name} {escaped(family.help) if openmetrics else family.help}", f"# TYPE {name} {kind}"]
    for sample in family.samples:
        yield from heading
        heading = []
        given = f"{{{sample.labels}}}" if sample.labels else ""
        yield f"{family.name}{sample.suffix}{given} {number(sample.value)}"
