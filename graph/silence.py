"""Who was not heard for a while, and what part of what is counted afterwards a window gets.

A counter that is read again after a silence says how much was counted meanwhile, not when. All of it in the window in
which it is read would be a rush that nobody saw; so it is taken for even over the silence, and a window that begins
within gets its part. Windows that hold the whole silence stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from graph.arrays import Floats, Ints, newest
from graph.hearing import Hearing
from graph.model import EdgeKey
from graph.series import InstanceKey
from graph.series_table import SeriesByInstance


class Silence(NamedTuple):
    """Who was not heard at an instant, and when they last were."""

    instances: Mapping[InstanceKey, int]
    edges: Mapping[tuple[InstanceKey, EdgeKey], int]
    """What instances did not say while they spoke of other edges."""

    def __bool__(self) -> bool:
        """Whether anybody was silent."""
        return bool(self.instances or self.edges)

    def earlier(self, by_ms: int) -> Silence:
        """Return the same as by a clock that is so much behind."""
        return Silence(
            {one: heard_ms - by_ms for one, heard_ms in self.instances.items()},
            {one: heard_ms - by_ms for one, heard_ms in self.edges.items()},
        )


NONE = Silence({}, {})


def silence(series: SeriesByInstance, hearing: Hearing) -> Silence:
    """Find out who is not heard."""
    if hearing.fresh.all():
        return NONE
    speaking = np.bincount(series.instance, weights=hearing.fresh, minlength=len(series.instances)) > 0
    heard = newest(series.instance, hearing.at_ms, len(series.instances))
    edges: dict[tuple[InstanceKey, EdgeKey], int] = {}
    for number in np.flatnonzero(speaking[series.instance] & ~hearing.fresh).tolist():
        of = (series.instances[series.instance[number]], series.keys[number].edge)
        edges[of] = max(int(hearing.at_ms[number]), edges.get(of, 0))
    mute = np.flatnonzero(~speaking).tolist()
    return Silence({series.instances[one]: int(heard[one]) for one in mute}, edges)


def unheard_since_ms(series: SeriesByInstance, hearing: Hearing) -> int | None:
    """Say when anybody who measures was last heard, where nobody is now; ``None`` else, or where nobody ever was.

    Whoever takes spans is always heard, and tells nothing of whether any come.
    """
    if not series.measured.any() or hearing.fresh[series.measured].any():
        return None
    return int(hearing.at_ms[series.measured].max())


def shares(then: Silence, series: SeriesByInstance, heard_ms: Ints, from_ms: int) -> Floats:
    """Per series, what part belongs after ``from_ms``, an instant of this silence, of what was counted since.

    ``heard_ms``: when each was last heard. Of whoever is silent still nothing was counted: any part will do.
    """
    last = np.array([then.instances.get(one, -1) for one in series.instances], np.int64)[series.instance]
    if then.edges:
        edges = (
            then.edges.get((series.instances[one], key.edge), -1)
            for one, key in zip(series.instance.tolist(), series.keys, strict=True)
        )
        last = np.maximum(last, np.fromiter(edges, np.int64, len(last)))
    spoke = (last >= 0) & (heard_ms > last)
    part = (heard_ms - from_ms) / np.where(spoke, heard_ms - last, 1)
    return np.where(spoke, np.clip(part, 0.0, 1.0), 1.0)
