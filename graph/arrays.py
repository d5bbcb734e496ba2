"""The arrays that the graph counts with: what each is indexed by, and how one index leads to the next.

Everything is counted in numpy arrays, from the ledger to the rows of which nodes and edges are made. A number in them is
one of these, and each has one word:

==========  =============================================================  ==========================================
index       what one is                                                    where it is numbered
==========  =============================================================  ==========================================
series      one counter set: an edge as one instance reports it            ``Ledger.series``, ``SeriesTable.all``
column      one kind of counter: a field, requests by outcome, a bucket    ``Ledger.columns`` (:mod:`graph.columns`)
cell        one counter: a column of a series that counted anything in it  ``Ledger.cells``
instance    a process, as one side of its calls                            ``SeriesTable.instances``
finest      an edge as observed, whoever reports it                        ``Joined.edges`` (:mod:`graph.joins`)
strand      in its place where an edge shows operations: a part of one     ``Strands.strands`` (:mod:`graph.strands`)
edge        an edge of one graph type                                      ``Projection.edges`` (:mod:`graph.types`)
slot        an edge and a reporter: ``edge * len(REPORTERS) + reporter``   ``FactFinder`` (:mod:`graph.facts`)
node        a node of one graph type                                       ``Projection.nodes``
==========  =============================================================  ==========================================

Cells are numbered as they appear, and keep their number until the ledger forgets. So the counts of any instant are one
vector, an older one is a beginning of a newer one, and a window is one subtraction::

    Ledger.cells  .values[cell]   counted since the graph began         .series[cell]  .column[cell]
         │ tick: copied
    Mark          .values[cell]   the same at one instant               (:mod:`graph.windows`)
         │ now - then
    Period        .counts[cell]   counted in a window                   .read_ms[series]  .slack_ms[series]
         │ tally: zero where another reporter of the edge was chosen
    Tally         .counts[cell]   each request once                     .chosen[finest]  .requests[series]
         │ add_up: cell ─▶ series ─▶ finest ─▶ edge
    EdgeFacts     .rows[edge, column]                                   .heard_ms[edge]  .evidence[edge, reporter]
         │ Sides: edge ─▶ its two nodes
    rows[node, column], one array inbound and one outbound
         │ SignalReader: per second of what is covered                  (:mod:`graph.signals`)
    Table of Signals

An array that leads from one index to another is named by both, the index first: ``series_edge[series]`` is an edge. What
holds things of one index only leaves its name away: ``SeriesTable.reporter`` and ``Hearing.fresh`` are per series.
Counts are plain numbers of requests, samples, bytes or messages, and milliseconds in the column of latencies; instants
and lengths of time say their unit in their name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graph.model import Reporter

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

REPORTERS = tuple(Reporter)
"""By number, in the order in which a window prefers them."""


def add_up(where: Ints, what: Floats | Flags, size: int) -> Floats:
    """Sum the values that go to the same place."""
    return np.bincount(where, weights=what, minlength=size).astype(np.float64, copy=False)


def newest(where: Ints, at_ms: Ints, size: int) -> Ints:
    """Give the latest of the instants that go to the same place; 0 where none does."""
    latest = np.zeros(size, np.int64)
    np.maximum.at(latest, where, at_ms)
    return latest
