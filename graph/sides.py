"""From edges to nodes: what comes in and what goes out, added up."""

from __future__ import annotations

import numpy as np

from graph.merge import Floats, Ints
from graph.tally import Flags
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

    def totals(self, rows: Floats, changed: Flags, last: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
        """Per side and node the sum of the rows of its edges; those without a changed edge keep their last sum."""
        inward, outward = (
            self._total(rows, changed, side, last[side].copy() if last else np.zeros((self._size, rows.shape[1])))
            for side in range(len(self.ends))
        )
        return inward, outward

    def _total(self, rows: Floats, changed: Flags, side: int, total: Floats) -> Floats:
        touched = np.zeros(self._size, bool)
        touched[self.ends[side][changed]] = True
        order = self._orders[side]
        order = order[touched[self.ends[side][order]]]
        nodes, starts = np.unique(self.ends[side][order], return_index=True)
        if len(nodes):
            total[nodes] = np.add.reduceat(rows[order], starts, axis=0)
        return total
