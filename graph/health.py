"""Health by Kiali's rules: request tolerances, replicas, and how they combine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from graph.merge import Column, Field, Floats, Requests
from graph.model import Health, Outcome, Protocol

NO_RESPONSE = "-"

PRIORITY = (Health.IDLE, Health.HEALTHY, Health.NOT_READY, Health.DEGRADED, Health.FAILURE)
"""From the least to the most pressing."""


class Direction(StrEnum):
    """Which way the requests go, seen from the judged item."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much of something bad is borne. The fields ``code``, ``protocol`` and ``direction`` are expressions.

    As in Kiali an ``X`` in ``code`` stands for a digit, and all three match anywhere unless anchored.
    """

    code: str
    protocol: str = ".*"
    direction: str = ".*"
    degraded: float = 0.0
    """Percent of the protocol's requests from which on the item is degraded; 0: any."""
    failure: float = 0.0
    """Percent from which on it has failed."""

    def concerns(self, code: str, protocol: Protocol, direction: Direction) -> bool:
        """Whether requests with this code are counted against this tolerance."""
        wanted = (
            (self.code.replace("X", r"\d").replace("x", r"\d"), code),
            (self.protocol, protocol),
            (self.direction, direction),
        )
        return all(re.search(pattern, text) for pattern, text in wanted)


DEFAULT = (
    Tolerance(code="^5XX$", protocol="^http$", degraded=0, failure=10),
    Tolerance(code="^4XX$", protocol="^http$", degraded=10, failure=20),
    Tolerance(code="^[1-9]$|^1[0-6]$", protocol="^grpc$", degraded=0, failure=10),
    Tolerance(code="^-$", protocol="^http|grpc$", degraded=0, failure=10),
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
        requests = [(number, column) for number, column in enumerate(columns) if isinstance(column, Requests)]
        self._requests = np.array([number for number, _ in requests], np.int64)
        self._checks: dict[Direction, list[tuple[Floats, Floats, Tolerance]]] = {}
        for direction in Direction:
            self._checks[direction] = [
                (
                    np.array(
                        [
                            tolerance.concerns(status(*column), column.protocol, direction)
                            and column.protocol is protocol
                            for _, column in requests
                        ],
                        float,
                    ),
                    np.array([column.protocol is protocol for _, column in requests], float),
                    tolerance,
                )
                for tolerance in tolerances
                for protocol in Protocol
            ]

    def levels(self, counts: Floats, direction: Direction) -> npt.NDArray[np.int64]:
        """Per row the position in :data:`PRIORITY`."""
        requests = counts[:, self._requests]
        worst_yet = np.where(counts[:, self._requests].any(axis=1) | counts[:, :4].any(axis=1), 1, 0)
        for matching, of_protocol, tolerance in self._checks[direction]:
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
    # The first four columns are TCP counters wherever a ledger made them.
    counts = np.array([[0.0] * 4 + list(outcomes.values())])
    judged = Judge([Field.SENT, Field.RECEIVED, Field.OPENED, Field.CLOSED, *columns], tolerances)
    return PRIORITY[int(judged.levels(counts, direction)[0])]


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
