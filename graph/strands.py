"""Edges taken apart by what was asked for and of which host, for the graph types that show it.

A *strand* is the part of a finest edge that names one operation and one host. The choice of reporters is made on
edges; here what they counted is laid out anew by strand, so that a snapshot of strands is built like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Ints
from graph.joins import Contender, Joined
from graph.model import OPERATIONS, OTHER, EdgeKey, GraphType, WorkloadRef
from graph.series_table import Hearing, SeriesTable
from graph.tally import Tally


class Strand(NamedTuple):
    """A part of an edge. The operation graph shows a part with an operation as two edges: ``leg`` 0 and 1."""

    edge: EdgeKey
    operation: str
    host: str
    leg: int


class Strands(SeriesTable):
    """Series laid out by strand: a series that is shown as two edges is there twice."""

    def __init__(self, series: SeriesTable, kind: GraphType) -> None:
        parts = _parts(series, kind)
        numbers: dict[Strand, int] = {}
        first = np.array([numbers.setdefault(part, len(numbers)) for part in parts], np.int64)
        double = np.flatnonzero([kind is GraphType.OPERATION and bool(part.operation) for part in parts])
        second = [numbers.setdefault(parts[one]._replace(leg=1), len(numbers)) for one in double.tolist()]
        self.counted: Ints = np.concatenate((np.arange(len(parts)), double)).astype(np.int64)
        self.strands = tuple(numbers)
        self.all = [series.all[one] for one in self.counted.tolist()]
        self.reporter = series.reporter[self.counted]
        self.since_ms = series.since_ms[self.counted]
        self.telling = series.telling[self.counted]
        self.mutual = series.mutual[self.counted]
        self.instance = series.instance[self.counted]
        self.instances = series.instances
        self._again = np.full(len(parts), -1)
        self._again[double] = len(parts) + np.arange(len(double))
        self._strand_finest = np.zeros(len(numbers), np.int64)
        home = np.concatenate((first, np.array(second, np.int64)))
        self._strand_finest[home] = series.joined.home[self.counted]
        self.joined = Joined(
            tuple(strand.edge for strand in numbers), home, tuple(self._contenders(series.joined.contenders))
        )

    def lay(self, counted: Tally, hearing: Hearing) -> tuple[Tally, Hearing]:
        """Lay out what the series counted, and when they were heard."""
        index, period = self.counted, counted.period
        again = self._again[period.cell_series]
        twice = np.flatnonzero(again >= 0)
        laid = period._replace(
            counts=np.concatenate((period.counts, period.counts[twice])),
            cell_series=np.concatenate((period.cell_series, again[twice])),
            cell_column=np.concatenate((period.cell_column, period.cell_column[twice])),
            read_ms=period.read_ms[index],
            slack_ms=period.slack_ms[index],
        )
        requests, tcp = counted.told
        return (
            Tally(
                laid,
                np.concatenate((counted.counts, counted.counts[twice])),
                counted.requests[index],
                counted.silent[index],
                counted.chosen[self._strand_finest],
                (requests[index], tcp[index]),
            ),
            Hearing(
                hearing.at_ms[index],
                hearing.fresh[index],
                [hearing.why[one] for one in index.tolist()] if hearing.why else (),
            ),
        )

    def _contenders(self, contenders: Sequence[Contender]) -> list[Contender]:
        return [
            Contender(
                np.flatnonzero(np.isin(self.counted, one.series)),
                np.flatnonzero(np.isin(self._strand_finest, one.edges)),
                one.anonymous,
            )
            for one in contenders
        ]


def _parts(series: SeriesTable, kind: GraphType) -> list[Strand]:
    """Per series its strand; beyond :data:`OPERATIONS` names of one callee there is only :data:`OTHER`."""
    edges, known = series.joined.edges, defaultdict[object, set[str]](set)
    parts = []
    for one, asked, home in zip(series.all, series.hosts, series.joined.home.tolist(), strict=True):
        edge = edges[home]
        callee: object = edge.target or edge.service or WorkloadRef("", "", "", "", "")
        operation = _bounded(one.key.operation, known[callee, "operation"])
        host = _bounded(asked, known[callee, "host"]) if kind is GraphType.FINEST else ""
        parts.append(Strand(edge, operation, host, 0))
    return parts


def _bounded(name: str, known: set[str]) -> str:
    if not name or name in known or len(known) < OPERATIONS:
        known.add(name)
        return name
    return OTHER
