"""From edges to nodes: what comes in and what goes out, added up."""

from __future__ import annotations

import numpy as np

from graph.arrays import Flags, Floats, Ints
from graph.types import Projection


class Sides:
    """Adds edge rows up to node rows."""

    def __init__(self, projection: Projection) -> None:
        self._size = len(projection.nodes)
        self.ends: tuple[Ints, Ints] = (
            np.array([edge.target for edge in projection.edges], np.int64),
            np.array([edge.source for edge in projection.edges], np.int64),
        )
        """Per edge its node of either side; side 0: inbound, 1: outbound."""
        self._orders = [np.argsort(end, kind="stable") for end in self.ends]

    def touched(self, edges: Flags) -> Flags:
        """Per node whether it is at an end of any of these edges."""
        touched = np.zeros(self._size, bool)
        for end in self.ends:
            touched[end[edges]] = True
        return touched

    def total(self, side: int, rows: Floats, nodes: Ints) -> Floats:
        """Per one of these nodes (in ascending order) the sum of the rows of its edges."""
        wanted = np.zeros(self._size, bool)
        wanted[nodes] = True
        order = self._orders[side]
        order = order[wanted[self.ends[side][order]]]
        met, starts = np.unique(self.ends[side][order], return_index=True)
        total = np.zeros((len(nodes), rows.shape[1]))
        if len(met):
            total[np.searchsorted(nodes, met)] = np.add.reduceat(rows[order], starts, axis=0)
        return total
