"""One snapshot of one window, made at once from what was counted in it.

It serves the past, and sources that answer questions instead of being watched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from graph.health import DEFAULT, Judge, Tolerance
from graph.hearing import Hearing
from graph.ledger import Ledger
from graph.model import GraphType, Inventory, Observation, Snapshot
from graph.series import Series
from graph.series_table import SeriesTable
from graph.signals import SignalReader
from graph.snapshots import Builder
from graph.tally import Period, tally

LOOKBACK_MS = 300_000
"""A reading no older than this is believed: Prometheus' own lookback."""


def snapshot_of(
    observations: Iterable[Observation],
    inventory: Inventory,
    kind: GraphType,
    from_ms: int,
    at_ms: int,
    *,
    tolerances: Sequence[Tolerance] = DEFAULT,
    lookback_ms: int = LOOKBACK_MS,
    window_s: int | None = None,
    revision: int = 0,
    known_ms: int = 0,
) -> Snapshot:
    """Make the snapshot of the window from ``from_ms`` to ``at_ms``.

    Of each series it takes either one observation whose epoch is ``from_ms`` or later (an increase: its counters are
    what the window holds), or several cumulative readings, the first of which is then the zero. An edge whose newest
    reading is older than ``lookback_ms`` before the end is stale. ``window_s`` is what was asked for, where the data
    covers less; ``known_ms`` since when there is data, which is then all that is covered.
    """
    ledger = Ledger(from_ms)
    ledger.fold(observations)
    series = SeriesTable([Series(one.key, one.origin, one.since_ms) for one in ledger.series], inventory)
    heard = np.array([one.at_ms for one in ledger.series], np.int64)
    begin_ms = max(from_ms, known_ms)
    cells = (ledger.cells.values, ledger.cells.series, ledger.cells.column)
    begins, exactly = np.full(len(heard), begin_ms), np.zeros(len(heard), np.int64)
    period = Period(begin_ms, at_ms, *cells, ledger.columns, begins, exactly)
    return assemble(
        series,
        Hearing(heard, heard >= at_ms - lookback_ms),
        period,
        inventory,
        kind,
        window_s=round((at_ms - from_ms) / 1000) if window_s is None else window_s,
        revision=revision,
        tolerances=tolerances,
    )


def assemble(
    series: SeriesTable,
    hearing: Hearing,
    period: Period,
    inventory: Inventory,
    kind: GraphType,
    *,
    window_s: int,
    revision: int,
    tolerances: Sequence[Tolerance] = DEFAULT,
) -> Snapshot:
    """Make a snapshot that has no predecessor."""
    columns = tuple(period.columns)
    builder = Builder.of(kind, series, inventory, SignalReader(columns), Judge(columns, tolerances))
    counted = tally(series, period, by_operation=kind is GraphType.OPERATION)
    return builder.build(counted, hearing, window_s, revision, None).snapshot
