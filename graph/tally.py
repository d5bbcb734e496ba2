"""What was counted in one window on each finest edge, each request once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.joins import Joined, is_unknown, join
from graph.merge import REPORTERS, Column, Field, Flags, Floats, Ints, Requests, SeriesKey
from graph.model import EdgeKey, Inventory, Reporter, Security, ServiceRef, WorkloadRef
from graph.stitch import agree, rest, seams, stitched

TCP = [Field.SENT, Field.RECEIVED, Field.OPENED, Field.CLOSED]
"""The first columns of every ledger."""

ORIGINS = 3
"""So many sources of one word are named."""


class Voice(NamedTuple):
    """One series: what it counts, where it comes from, and since when (0: from its beginning)."""

    key: SeriesKey
    origin: str
    since_ms: int


Speaker = tuple[Reporter, str]
"""One process, as one side of its calls."""


class Speakers:
    """Series by who counts them."""

    def __init__(self, keys: Sequence[SeriesKey]) -> None:
        numbers: dict[Speaker, int] = {}
        self.keys = keys
        self.instance: Ints = np.array(
            [numbers.setdefault((key.reporter, key.instance), len(numbers)) for key in keys], np.int64
        )
        """Per series the place of its speaker among ``instances``."""
        self.instances = tuple(numbers)


class Voices(Speakers):
    """Who speaks: the series side by side as arrays, and the edges they are evidence of."""

    def __init__(self, voices: Sequence[Voice], inventory: Inventory) -> None:
        super().__init__([voice.key for voice in voices])
        keys = stitched(self.keys, inventory)
        self.all = voices
        self.hosts = [key.host for key in keys]
        """Per series the host that was asked for."""
        self.joined: Joined = join(keys, inventory)
        led = {key.edge for key, voice in zip(keys, voices, strict=True) if key is not voice.key}
        self.seams = seams(self.joined.edges, led)
        self.reporter: Ints = np.array([REPORTERS.index(key.reporter) for key in keys], np.int64)
        self.since_ms: Ints = np.array([voice.since_ms for voice in voices], np.int64)
        self.telling = np.array([key.security is not Security.UNKNOWN for key in keys], float)
        """Per series 1.0 where it knows what protected its traffic."""
        self.mutual = np.array([key.security is Security.MUTUAL_TLS for key in keys], float)
        """Per series 1.0 where that was mutual TLS."""
        self.naming = np.array([bool(key.operation) for key in keys], float)
        """Per series 1.0 where it names what was asked for."""
        self.index: Ints = np.arange(len(keys))
        """Per series its number in the ledger."""

    def asked(self) -> dict[EdgeKey, set[str]]:
        """Per edge of an unnamed caller, what it is told to ask for."""
        asked: dict[EdgeKey, set[str]] = {}
        for voice, home in zip(self.all, self.joined.home.tolist(), strict=True):
            edge = self.joined.edges[home]
            if voice.key.operation and is_unknown(edge.source):
                asked.setdefault(edge, set()).add(voice.key.operation)
        return asked

    def origins(self, places: Ints) -> dict[int, str]:
        """Name, per place that series speak for, where they come from: all of it, or the first and how many more."""
        origins: dict[int, str] = {}
        several: defaultdict[int, set[str]] = defaultdict(set)
        for place, voice in zip(places.tolist(), self.all, strict=True):
            if origins.setdefault(place, voice.origin) != voice.origin:
                several[place].add(voice.origin)
        for place, others in several.items():
            named, more = sorted({origins[place], *others}), len(others) + 1 - ORIGINS
            origins[place] = "; ".join([*named[:ORIGINS], *([f"and {more} more"] if more > 0 else [])])
        return origins


def same_names(one: Inventory, other: Inventory) -> bool:
    """Tell whether nothing differs that says whose traffic is whose: names, addresses, accounts, what is behind what."""
    return _names(one) == _names(other)


def _names(inventory: Inventory) -> tuple[dict[WorkloadRef, object], dict[ServiceRef, object]]:
    return (
        {ref: (one.kind, one.service_account, one.hosts) for ref, one in inventory.workloads.items()},
        {
            ref: (one.kind, one.entry, one.hosts, one.addresses, one.workloads)
            for ref, one in inventory.services.items()
        },
    )


class Hearing(NamedTuple):
    """When each series was last heard, and whether it can be believed now."""

    at_ms: Ints
    fresh: Flags
    why: Sequence[str] = ()
    """Per series why it may not be believed, as its source says; ``""``: nothing is said. Empty: of no series."""
    seldom: Flags = np.zeros(0, bool)
    """Per series whether it is read more seldom than windows begin and end: see :mod:`graph.seldom`."""

    @property
    def sure(self) -> Flags:
        """Which are believed, and not in doubt either."""
        return self.fresh & np.array([not why for why in self.why], bool) if self.why else self.fresh


class Period(NamedTuple):
    """The counts of one window by cell."""

    from_ms: int
    at_ms: int
    counts: Floats
    cell_series: Ints
    cell_column: Ints
    columns: Sequence[Column]
    read_ms: Ints
    """Per series when it was read what the window begins with."""
    slack_ms: Ints
    """Per series by how much longer than the window it was counted: see :mod:`graph.seldom`."""
    gaps: Sequence[tuple[int, int]] = ()
    """Instants between which nobody watched."""


class Tally(NamedTuple):
    """A window's counts after the choice of reporters."""

    period: Period
    counts: Floats
    """Per cell; zero where another reporter was chosen."""
    requests: Floats
    """Per series, chosen or not: evidence."""
    silent: Flags
    """Per series: evidence of other edges only."""
    chosen: Ints
    """Per edge the reporter whose requests are shown, or whose bytes where there are no requests; behind the last: none."""
    told: tuple[Floats, Floats]
    """Per series: requests, and TCP traffic, whose protection is known; each once, by the first who knows."""


def add_up(where: Ints, what: Floats | Flags, size: int) -> Floats:
    """Sum the values that go to the same place."""
    return np.bincount(where, weights=what, minlength=size).astype(np.float64, copy=False)


def tally(voices: Voices, period: Period, *, by_operation: bool = False) -> Tally:
    """Choose per edge the reporter of its requests, and of its TCP counters: the caller, the callee, then spans.

    ``by_operation``: of those who tell what was asked for, where there are any.
    """
    size = len(voices.all)
    is_tcp = period.cell_column < len(TCP)
    counted = np.array([isinstance(column, Requests) for column in period.columns])
    requests = _by_series(period, counted[period.cell_column], size)
    tcp = _by_series(period, is_tcp, size)
    silent = _silent(voices, requests + tcp)
    heard = ~silent
    asks, speaks_of_requests = _choose(voices, requests * heard, voices.naming if by_operation else None)
    opens, speaks_of_tcp = _choose(voices, tcp * heard)
    speaks = np.where(
        is_tcp, (speaks_of_tcp & heard)[period.cell_series], (speaks_of_requests & heard)[period.cell_series]
    )
    counts, covered = period.counts * speaks, frozenset[int]()
    home = voices.joined.home
    if voices.seams:
        kinds = (counted, np.arange(len(counted)) < len(TCP))
        counts, covered = rest(voices.seams, (home[period.cell_series], period.cell_column), counts, kinds)
    return Tally(
        period,
        counts,
        requests,
        silent | np.isin(home, list(covered)),
        np.where(asks < len(REPORTERS), asks, opens),
        (_told(voices, requests * heard), _told(voices, tcp * heard)),
    )


def _by_series(period: Period, wanted: Flags, size: int) -> Floats:
    return add_up(period.cell_series[wanted], period.counts[wanted], size)


def _choose(voices: Voices, activity: Floats, first: Floats | None = None) -> tuple[Ints, Flags]:
    """Per edge the first reporter with any activity (``len(REPORTERS)``: none), and per series whether it is its.

    Where ``first`` marks an active series of an edge, only the reporters of such series are candidates.
    """
    home = voices.joined.home
    active = _active(voices, activity)
    if first is not None:
        marked = _active(voices, activity * first)
        active = np.where(marked.any(axis=1, keepdims=True), marked, active)
    chosen = np.where(active.any(axis=1), active.argmax(axis=1), len(REPORTERS))
    return chosen, chosen[home] == voices.reporter


def _active(voices: Voices, activity: Floats) -> Flags:
    """Per edge and reporter whether there is any activity."""
    edges, reporters = len(voices.joined.edges), len(REPORTERS)
    total = add_up(voices.joined.home * reporters + voices.reporter, activity, edges * reporters)
    return np.asarray(total.reshape(edges, reporters) > 0, np.bool_)


def _told(voices: Voices, activity: Floats) -> Floats:
    told: Floats = activity * voices.telling
    told *= _choose(voices, told)[1]
    return told


def _silent(voices: Voices, activity: Floats) -> Flags:
    """The contenders that have nothing to say, or whose traffic other edges already count."""
    silent = np.zeros(len(activity), bool)
    home = voices.joined.home
    for contender in voices.joined.contenders:
        better = np.isin(home, contender.edges) & (voices.reporter < voices.reporter[contender.series[0]])
        said, known = activity[contender.series].sum(), activity[better].sum()
        enough = not contender.anonymous or agree(said, said - known)
        silent[contender.series] = not said or (known > 0 and enough)
    return silent
