"""Edges taken apart by what was asked for and of which host, for the graph types that show it.

A *strand* is the part of a finest edge that names one operation and one host. The choice of reporters is made on
edges; here what they counted is laid out anew by strand, so that a snapshot of strands is built like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Flags, Floats, Ints, add_up
from graph.hearing import Hearing
from graph.joins import Contender, Joined
from graph.model import OPERATIONS, OTHER, EdgeKey, GraphType, WorkloadRef
from graph.series_table import SeriesTable
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
        self.original: Ints = np.concatenate((np.arange(len(parts)), double)).astype(np.int64)
        self.strands = tuple(numbers)
        self._named = np.array([kind is GraphType.OPERATION and bool(strand.operation) for strand in numbers], bool)
        self.all = [series.all[one] for one in self.original.tolist()]
        self.reporter = series.reporter[self.original]
        self.since_ms = series.since_ms[self.original]
        self.telling = series.telling[self.original]
        self.instance = series.instance[self.original]
        self.instances = series.instances
        self._again = np.full(len(parts), -1)
        """Per series of the ledger its second one here; below 0: none."""
        self._again[double] = len(parts) + np.arange(len(double))
        self._strand_finest = np.zeros(len(numbers), np.int64)
        series_strand = np.concatenate((first, np.array(second, np.int64)))
        self._strand_finest[series_strand] = series.joined.series_finest[self.original]
        self._series_way: Ints = 2 * self._strand_finest[series_strand]
        """Per series twice the finest edge, and one more on the way from an operation to the callee."""
        self._series_way[len(parts) :] += 1
        self.joined = Joined(
            tuple(strand.edge for strand in numbers), series_strand, tuple(self._contenders(series.joined.contenders))
        )

    def lay(self, counted: Tally, hearing: Hearing) -> tuple[Tally, Hearing]:
        """Lay out what the series counted, and when they were heard."""
        original, period = self.original, counted.period
        again = self._again[period.cell_series]
        twice = np.flatnonzero(again >= 0)
        laid = period._replace(
            counts=np.concatenate((period.counts, period.counts[twice])),
            cell_series=np.concatenate((period.cell_series, again[twice])),
            cell_column=np.concatenate((period.cell_column, period.cell_column[twice])),
            read_ms=period.read_ms[original],
            slack_ms=period.slack_ms[original],
        )
        why = [hearing.why[one] for one in original.tolist()] if hearing.why else ()
        heard = Hearing(hearing.at_ms[original], hearing.fresh[original], why)
        counts = np.concatenate((counted.counts, counted.counts[twice]))
        counted_by = add_up(laid.cell_series, counts, len(original))
        replaced = self._replaced(counted_by, heard)
        tally = Tally(
            period=laid,
            counts=counts,
            requests=counted.requests[original],
            silent=counted.silent[original] | replaced,
            chosen=counted.chosen[self._strand_finest],
            told=tuple(self._handed_on(told[original], replaced, counted_by) for told in counted.told),
        )
        return tally, heard

    def _replaced(self, counted_by: Floats, heard: Hearing) -> Flags:
        """Per series whether it is of an edge's rest without operations, in which nothing is, while others tell them."""
        strand, size = self.joined.series_finest, len(self.strands)
        busy = add_up(strand, counted_by, size) > 0
        telling = self._named & (add_up(strand, heard.fresh, size) > 0)
        instead = add_up(self._strand_finest, telling, size) > 0
        return np.asarray((instead[self._strand_finest] & ~self._named & ~busy)[strand], np.bool_)

    def _handed_on(self, told: Floats, replaced: Flags, counted_by: Floats) -> Floats:
        """Say of what is shown instead what was told of what is replaced: to each its share, on both ways."""
        way, size = self._series_way, 2 * len(self.strands)
        handed_on, whole = add_up(way - way % 2, told * replaced, size), add_up(way, counted_by, size)
        shares = np.divide(counted_by, whole[way], out=np.zeros(len(told)), where=whole[way] > 0)
        return np.where(replaced, 0, told + shares * handed_on[way - way % 2])

    def _contenders(self, contenders: Sequence[Contender]) -> list[Contender]:
        return [
            Contender(
                np.flatnonzero(np.isin(self.original, one.series)),
                np.flatnonzero(np.isin(self._strand_finest, one.finest)),
                one.anonymous,
            )
            for one in contenders
        ]


def _parts(series: SeriesTable, kind: GraphType) -> list[Strand]:
    """Per series its strand; beyond :data:`OPERATIONS` names of one callee there is only :data:`OTHER`."""
    edges, known = series.joined.edges, defaultdict[object, set[str]](set)
    parts = []
    for one, asked, finest in zip(series.all, series.hosts, series.joined.series_finest.tolist(), strict=True):
        edge = edges[finest]
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
