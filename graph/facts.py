"""What is true of every edge of one graph type in one window: counts, what they cover, who says so and may be believed.

Arrays are per edge here unless their name says otherwise; :mod:`graph.arrays` has the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graph.arrays import REPORTERS, Flags, Floats, Ints, add_up, newest
from graph.hearing import Hearing
from graph.model import Presence
from graph.readings import stretches
from graph.records import Objects, column
from graph.series_table import SeriesTable
from graph.signals import TOLD, SignalReader
from graph.tally import Period, Tally
from graph.types import Projection

GONE_AFTER_S = 300
"""An edge without traffic whose reporters have been silent for this long (and the window) is left out."""

PRESENCES = (Presence.LIVE, Presence.IDLE, Presence.STALE)
LIVE, IDLE, STALE = range(len(PRESENCES))


class Coverage(NamedTuple):
    """What time the counts of an edge are of."""

    seconds: Floats
    stretch: Floats
    """How many times as long as the window that is."""


class Testimony(NamedTuple):
    """What each reporter says of an edge; all are ``[edge, reporter]``."""

    requests: Floats
    instances: Ints
    """How many of them count it."""
    at_ms: Ints


class EdgeFacts(NamedTuple):
    """What a snapshot says of its edges, side by side."""

    rows: Floats
    """Counters, ``[edge, column]``."""
    words: Floats
    """Everything else that shows, so that comparing both finds every change but that of instants."""
    active: Flags
    gone: Flags
    presence: Ints
    """Positions in :data:`PRESENCES`."""
    covered: Coverage
    chosen: Ints
    """Whose counts are shown, as a position in ``REPORTERS``; behind the last: nobody's."""
    heard_ms: Ints
    evidence: Testimony
    reasons: Ints
    """Why it may not be believed, as its source says, by number; 0: nothing is said."""

    def since(self, before: EdgeFacts, changed: Flags) -> EdgeFacts:
        """Let edges that did not change go on to show the instants that they showed."""
        seconds = np.where(changed, self.covered.seconds, before.covered.seconds)
        at_ms = np.where(changed[:, None], self.evidence.at_ms, before.evidence.at_ms)
        return self._replace(
            covered=self.covered._replace(seconds=seconds),
            heard_ms=np.where(changed, self.heard_ms, before.heard_ms),
            evidence=self.evidence._replace(at_ms=at_ms),
        )


class FactFinder:
    """Finds the facts of one projection's edges in any window; stands as long as projection and series do."""

    def __init__(self, projection: Projection, series: SeriesTable, reader: SignalReader) -> None:
        self._size = len(projection.edges)
        self._series = series
        self._reader = reader
        self._finest_edge: Ints = np.array(projection.edge_of, np.int64)
        self.series_edge = self._finest_edge[series.joined.series_finest]
        """The edge that each series counts for."""
        witness, self._shared = _witnesses(projection, series, self.series_edge)
        self.series_slot = witness * len(REPORTERS) + series.reporter
        """The edge and reporter that each series is evidence of."""
        pairs = np.column_stack((self.series_slot, series.instance))
        self._slot_instance, inverse = np.unique(pairs, axis=0, return_inverse=True)
        self._series_pair = inverse.ravel()
        self._since_ms = np.full(self._size, np.iinfo(np.int64).max)
        np.minimum.at(self._since_ms, self.series_edge, series.since_ms)
        self._reasons = {"": 0}
        self._placed: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    @property
    def reasons(self) -> Objects:
        """Reasons for doubt by number, so that a change of them is found as any other."""
        return column(self._reasons)

    def find(self, counted: Tally, hearing: Hearing, nowhere: Flags, window_s: int) -> EdgeFacts:
        """Find them; ``nowhere``: which edges there are only with requests in them."""
        rows = self.rows(counted)
        active = self._reader.active(rows)
        heard_ms = newest(self.series_edge, hearing.at_ms, self._size)
        fresh, sure, own = (self._any(of) for of in (hearing.fresh, hearing.sure, ~counted.silent))
        long_ago = counted.period.at_ms - heard_ms > 1000 * max(GONE_AFTER_S, window_s)
        gone = ~own | (~active & (nowhere | (~fresh & long_ago)))
        presence = np.where(~fresh, STALE, np.where(active, LIVE, IDLE))
        covered = self._covered(counted, hearing, fresh)
        chosen = np.full(self._size, len(REPORTERS))
        np.minimum.at(chosen, self._finest_edge, counted.chosen)
        evidence = self._evidence(counted, hearing)
        reasons = self._doubted(hearing, ~sure)
        shown_s = np.where(active, covered.seconds, 0)
        words = np.column_stack((presence, gone, shown_s, chosen, evidence.requests, evidence.instances, reasons))
        return EdgeFacts(rows, words, active, gone, presence, covered, chosen, heard_ms, evidence, reasons)

    def rows(self, counted: Tally) -> Floats:
        """The counters of each edge."""
        size, width, period = self._size, self._reader.width, counted.period
        rows = add_up(self._cell_place(period), counted.counts, size * width).reshape(size, width)
        for number, told in enumerate(counted.told):
            rows[:, number - TOLD] = add_up(self.series_edge, told, size)
        return rows

    def _any(self, series: Flags) -> Flags:
        """Whether this is so of any series."""
        return add_up(self.series_edge, series, self._size) > 0

    def _cell_place(self, period: Period) -> Ints:
        """Per counted cell its place in the rows; found again only where there are new cells."""
        if period.cell_series is not self._placed[0]:
            places = self.series_edge[period.cell_series] * self._reader.width + period.cell_column
            self._placed = (period.cell_series, places)
        return self._placed[1]

    def _covered(self, counted: Tally, hearing: Hearing, fresh: Flags) -> Coverage:
        """The window, as far as somebody watched; where nobody goes on telling, from the first reading to the last."""
        period = counted.period
        series_counts = add_up(period.cell_series, counted.counts, len(self.series_edge))
        telling = np.flatnonzero(series_counts)
        first_ms = np.full(self._size, period.at_ms)
        np.minimum.at(first_ms, self.series_edge[telling], period.read_ms[telling])
        last_ms = newest(self.series_edge[telling], hearing.at_ms[telling], self._size)
        end = np.where(fresh, period.at_ms, np.maximum(last_ms, first_ms))
        begin = np.maximum(self._since_ms, np.where(fresh, period.from_ms, first_ms))
        unseen = [np.clip(np.minimum(end, until) - np.maximum(begin, since), 0, None) for since, until in period.gaps]
        span_ms = np.maximum(end - begin - sum(unseen), 0)
        stretch = self._stretches(period, series_counts, span_ms, fresh)
        return Coverage(np.rint(span_ms * stretch) / 1000, stretch)

    def _stretches(self, period: Period, series_counts: Floats, span_ms: Ints, fresh: Flags) -> Floats:
        """How many times as long as its window it was counted."""
        slack_ms = np.where(fresh[self.series_edge], period.slack_ms, 0)
        if not slack_ms.any():
            return np.ones(self._size)
        return stretches(self.series_edge, span_ms.astype(float), slack_ms, series_counts)

    def _evidence(self, counted: Tally, hearing: Hearing) -> Testimony:
        """What each reporter says, of whom it is clear which edge it speaks of."""
        shape = (self._size, len(REPORTERS))
        slots = self._size * len(REPORTERS)
        clear = ~(self._shared & counted.silent)
        requests = add_up(self.series_slot, counted.requests * clear, slots)
        at_ms = newest(self.series_slot[clear], hearing.at_ms[clear], slots)
        speaks = (hearing.fresh | (counted.requests > 0)) & clear
        speaking = add_up(self._series_pair, speaks, len(self._slot_instance)) > 0
        instances = np.bincount(self._slot_instance[speaking, 0], minlength=slots)
        return Testimony(requests.reshape(shape), instances.reshape(shape), at_ms.reshape(shape))

    def _doubted(self, hearing: Hearing, doubtful: Flags) -> Ints:
        """The number of the reason why it is stale, or may be soon; of several the one heard last."""
        reasons = np.zeros(self._size, np.int64)
        if hearing.why:
            for series in np.argsort(hearing.at_ms, kind="stable").tolist():
                why, edge = hearing.why[series], self.series_edge[series]
                if why and doubtful[edge]:
                    reasons[edge] = self._reasons.setdefault(why, len(self._reasons))
        return reasons


def _witnesses(projection: Projection, series: SeriesTable, series_edge: Ints) -> tuple[Ints, Flags]:
    """Per series the edge that it is evidence of, and whether it speaks of several, whose parts nobody can tell."""
    witness, shared = series_edge.copy(), np.zeros(len(series_edge), bool)
    for contender in series.joined.contenders:
        covering = {projection.edge_of[int(finest)] for finest in contender.finest}
        if len(covering) == 1:
            witness[contender.series] = covering.pop()
        else:
            shared[contender.series] = True
    return witness, shared
