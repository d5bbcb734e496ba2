"""Health by Kiali's rules: request tolerances, replicas, and how they combine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graph.arrays import Floats
from graph.columns import FIELDS, TCP, Column, Requests
from graph.model import Health, Outcome, Protocol, Workload

NO_RESPONSE = "-"

ANNOTATION = "health.kiali.io/rate"
"""The annotation of Services and workloads that names their own tolerances."""
LAST = 1_000_000
"""The entry of the defaults."""
MOST_TEXT = 2000

PRIORITY = (Health.IDLE, Health.HEALTHY, Health.NOT_READY, Health.DEGRADED, Health.FAILURE)
"""From the least to the most pressing."""


class Direction(StrEnum):
    """Which way the requests go, seen from the judged item."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much of something bad is borne. All fields but the two percentages are expressions that match the whole word.

    As in Kiali an ``X`` in ``code`` stands for a digit. An item is judged by the tolerances of the first entry that
    concerns it (its namespace, kind and name), or by those that its own annotation names.
    """

    code: str
    protocol: str = ".*"
    direction: str = ".*"
    degraded: float = 0.0
    """Percent of the protocol's requests from which on the item is degraded; 0: any."""
    failure: float = 0.0
    """Percent from which on it has failed."""
    namespace: str = ".*"
    kind: str = ".*"
    """``app``, ``service`` or ``workload``."""
    name: str = ".*"
    entry: int = LAST
    """Tolerances of one entry of the settings belong together; the lowest that concerns an item is taken."""

    def concerns(self, code: str, protocol: str, direction: Direction) -> bool:
        """Whether requests with this code are counted against this tolerance."""
        return _matches(_digits(self.code), code) and self.bears(protocol, direction)

    def bears(self, protocol: str, direction: Direction) -> bool:
        """Whether it is about this protocol's requests in this direction."""
        return _matches(self.protocol, protocol) and _matches(self.direction, direction)

    def judges(self, item: Item) -> bool:
        """Whether it is about this item."""
        return (
            _matches(self.namespace, item.namespace)
            and _matches(self.kind, item.kind)
            and _matches(self.name, item.name)
        )


class Item(NamedTuple):
    """What is judged, in Kiali's words."""

    namespace: str
    kind: str
    """``app``, ``service``, ``workload``, or empty."""
    name: str
    annotation: str = ""
    """The value of :data:`ANNOTATION`, where it has one."""


def tolerances_of(item: Item, tolerances: Sequence[Tolerance]) -> tuple[Tolerance, ...]:
    """Find the tolerances that an item is judged by."""
    own = annotated(item.annotation)
    if own:
        return own
    concerning = [one for one in tolerances if one.judges(item)]
    first = min((one.entry for one in concerning), default=LAST)
    return tuple(one for one in concerning if one.entry == first)


@lru_cache(maxsize=1024)
def annotated(text: str) -> tuple[Tolerance, ...]:
    """Read ``code,degraded,failure,protocol,direction;...``; as in Kiali a part that is none is left out."""
    return tuple(filter(None, (_tolerance(part) for part in text[:MOST_TEXT].split(";"))))


def _tolerance(part: str) -> Tolerance | None:
    match part.strip().split(","):
        case [code, degraded, failure, protocol, direction]:
            pass
        case _:
            return None
    try:
        low, high = float(degraded), float(failure)
        for pattern in (_digits(code), protocol, direction):
            re.compile(pattern)
    except (ValueError, re.error):
        return None
    if not 0 <= low <= high:
        return None
    any_of = ".*"
    return Tolerance(
        code=code or any_of, degraded=low, failure=high, protocol=protocol or any_of, direction=direction or any_of
    )


def _digits(code: str) -> str:
    """Let an X stand for a digit, or for the x of a proxy that tells classes of codes only: ``5xx``."""
    return code.replace("x", "X").replace("X", r"[\dx]")


def _matches(pattern: str, text: str) -> bool:
    """Match the whole word, as Kiali does: an anchor is added at either end where there is none."""
    start = "" if pattern.startswith("^") else "^"
    end = "" if pattern.endswith("$") else "$"
    return re.search(f"{start}{pattern}{end}", text) is not None


DEFAULT = (
    Tolerance(code="^5XX$", protocol="^http$", degraded=0, failure=10),
    Tolerance(code="^4XX$", protocol="^http$", degraded=10, failure=20),
    Tolerance(code="^[1-9]$|^1[0-6]$", protocol="^grpc$", degraded=0, failure=10),
    Tolerance(code="^-$", protocol="^(http|grpc)$", degraded=0, failure=10),
    Tolerance(code="^-$", protocol="^tcp$", degraded=0, failure=10),
)
"""Kiali's own; and the last of them for databases and queues, whose requests Kiali does not know."""


def status(protocol: Protocol, outcome: Outcome) -> str:
    """The one code that says how a request ended: HTTP's, or gRPC's where HTTP succeeded; ``-`` without a response."""
    if protocol is Protocol.GRPC and outcome.grpc and outcome.code in {"200", ""}:
        return outcome.grpc
    return NO_RESPONSE if outcome.code in {"0", ""} else outcome.code


def is_error(protocol: Protocol, outcome: Outcome) -> bool:
    """5xx, no response, or a gRPC status other than 0."""
    code = status(protocol, outcome)
    if protocol is Protocol.GRPC and code == outcome.grpc:
        return code != "0"
    return code == NO_RESPONSE or (len(code) == 3 and code[0] == "5")


def worst(healths: Iterable[Health]) -> Health:
    """The most pressing one; nothing at all is idle."""
    return max(healths, key=PRIORITY.index, default=Health.IDLE)


class Judge:
    """Judges many items at once: one row per item, one column per ledger column."""

    def __init__(self, columns: Sequence[Column], tolerances: Sequence[Tolerance] = DEFAULT) -> None:
        self._tolerances = tolerances
        self._columns = [(number, column) for number, column in enumerate(columns) if isinstance(column, Requests)]
        self._requests = np.array([number for number, _ in self._columns], np.int64)
        self._rules: dict[tuple[Tolerance, ...], int] = {}
        self._items: dict[Item, int] = {}
        self._checks: list[dict[Direction, list[tuple[Floats, Floats, Tolerance]]]] = []

    def rule(self, item: Item) -> int:
        """Number the rule that an item is judged by, for :meth:`levels`."""
        if item not in self._items:
            tolerances = tolerances_of(item, self._tolerances)
            number = self._rules.setdefault(tolerances, len(self._rules))
            if number == len(self._checks):
                self._checks.append({direction: self._checked(tolerances, direction) for direction in Direction})
            self._items[item] = number
        return self._items[item]

    def levels(self, counts: Floats, direction: Direction, rules: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Per row the position in :data:`PRIORITY`; ``rules`` holds the rule of each."""
        levels = np.zeros(len(counts), np.int64)
        for rule in np.unique(rules).tolist():
            mine = rules == rule
            levels[mine] = self._levels(counts[mine], self._checks[rule][direction])
        return levels

    def _checked(self, tolerances: Sequence[Tolerance], direction: Direction) -> list[tuple[Floats, Floats, Tolerance]]:
        return [
            (
                np.array(
                    [
                        tolerance.concerns(status(*column), column.protocol, direction) and column.protocol is protocol
                        for _, column in self._columns
                    ],
                    float,
                ),
                np.array([column.protocol is protocol for _, column in self._columns], float),
                tolerance,
            )
            for tolerance in tolerances
            for protocol in Protocol
        ]

    def _levels(self, counts: Floats, checks: Sequence[tuple[Floats, Floats, Tolerance]]) -> npt.NDArray[np.int64]:
        requests = counts[:, self._requests]
        worst_yet = np.where(counts[:, self._requests].any(axis=1) | counts[:, :4].any(axis=1), 1, 0)
        for matching, of_protocol, tolerance in checks:
            if not matching.any():
                continue
            total = requests @ of_protocol
            percent = 100 * np.divide(requests @ matching, total, out=np.zeros(len(total)), where=total > 0)
            level = np.where(percent >= tolerance.failure, 4, np.where(percent >= tolerance.degraded, 3, 1))
            worst_yet = np.where(percent > 0, np.maximum(worst_yet, level), worst_yet)
        return worst_yet


def judge(
    outcomes: Mapping[Outcome, float],
    protocol: Protocol,
    direction: Direction = Direction.INBOUND,
    tolerances: Sequence[Tolerance] = DEFAULT,
) -> Health:
    """Judge one item's requests of one protocol."""
    columns: list[Column] = [Requests(protocol, outcome) for outcome in outcomes]
    counts = np.array([[0.0] * TCP + list(outcomes.values())])
    judged = Judge([*FIELDS[:TCP], *columns], tolerances)
    rules = np.array([judged.rule(Item("", "", ""))])
    return PRIORITY[int(judged.levels(counts, direction, rules)[0])]


class Finding(NamedTuple):
    """What one tolerance makes of one protocol's requests."""

    health: Health
    percent: float
    """Of the protocol's requests those that the tolerance speaks of; -1: there are no requests."""
    protocol: str
    codes: tuple[str, ...]
    """Theirs, the most frequent first."""
    tolerance: Tolerance | None
    """``None``: none is about these requests."""


def judge_rates(
    rates: Mapping[str, Mapping[str, float]], direction: Direction, tolerances: Sequence[Tolerance] = DEFAULT
) -> Finding:
    """Judge requests given by protocol and code: the finding that decides."""
    found = max(_findings(rates, direction, tolerances), key=lambda one: PRIORITY.index(one.health), default=None)
    if found:
        return found
    asked = any(sum(codes.values()) > 0 for codes in rates.values())
    return Finding(Health.HEALTHY, 0.0, "", (), None) if asked else Finding(Health.IDLE, -1.0, "", (), None)


def _findings(
    rates: Mapping[str, Mapping[str, float]], direction: Direction, tolerances: Sequence[Tolerance]
) -> Iterator[Finding]:
    for protocol, codes in rates.items():
        total = sum(codes.values())
        for tolerance in tolerances if total > 0 else ():
            if tolerance.bears(protocol, direction):
                matching = {code: rate for code, rate in codes.items() if _matches(_digits(tolerance.code), code)}
                percent = 100 * sum(matching.values()) / total
                frequent = tuple(sorted(matching, key=matching.__getitem__, reverse=True))
                yield Finding(_level(percent, tolerance), percent, protocol, frequent, tolerance)


def _level(percent: float, tolerance: Tolerance) -> Health:
    if percent <= 0:
        return Health.HEALTHY
    if percent >= tolerance.failure:
        return Health.FAILURE
    return Health.DEGRADED if percent >= tolerance.degraded else Health.HEALTHY


def judge_workload(workload: Workload) -> Health:
    """A workload by what the inventory knows of its replicas; one that is known to run only, is healthy."""
    return judge_replicas(
        desired=workload.replicas if workload.desired is None else workload.desired,
        current=workload.replicas,
        available=workload.replicas if workload.available is None else workload.available,
        synced=workload.synced,
    )


def judge_replicas(*, desired: int, current: int, available: int, synced: int = -1) -> Health:
    """A workload by its replicas; ``synced`` proxies below 0: not known."""
    if desired == 0:
        return Health.NOT_READY
    if current > 0 and available > 0 and min(current, available) < desired:
        return Health.DEGRADED
    if available == 0 or desired == available != current:
        return Health.FAILURE
    if 0 <= synced < desired:
        return Health.DEGRADED
    return Health.HEALTHY if desired == current == available else Health.DEGRADED
