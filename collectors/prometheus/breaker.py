"""Sparing a server that does not work: a circuit breaker."""

from __future__ import annotations

from enum import StrEnum

from collectors.errors import CollectorError
from graph.ports import Clock


class Circuit(StrEnum):
    """What happens to the next request."""

    CLOSED = "closed"
    """It is sent."""
    OPEN = "open"
    """It is refused until the pause is over."""
    HALF_OPEN = "half-open"
    """It is the one on trial; or it is refused, because another one is."""


class RestingError(CollectorError):
    """Nothing was sent: the server has just failed several times."""


class Breaker:
    """Closed until ``failures`` in a row; then open for a pause that doubles with each trial that fails."""

    def __init__(self, clock: Clock, *, failures: int = 3, first_s: float = 1.0, most_s: float = 30.0) -> None:
        self.reason = ""
        """Why the last request failed; empty while they succeed."""
        self._clock = clock
        self._allowed = failures
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0
        self._pause_s = 0.0
        self._until_ms = 0
        self._on_trial = False

    @property
    def circuit(self) -> Circuit:
        """The present state."""
        if not self._pause_s:
            return Circuit.CLOSED
        rested = self._on_trial or self._clock.steady_ms() >= self._until_ms
        return Circuit.HALF_OPEN if rested else Circuit.OPEN

    def admit(self) -> None:
        """Let a request through, or raise :class:`RestingError`. Each one let through must succeed or fail afterwards."""
        circuit = self.circuit
        if circuit is Circuit.OPEN or self._on_trial:
            left_s = max(0.0, (self._until_ms - self._clock.steady_ms()) / 1000)
            when = "one request is on trial" if self._on_trial else f"asked again in {left_s:.0f} s"
            raise RestingError(f"{self.reason} ({when})")
        self._on_trial = circuit is Circuit.HALF_OPEN

    def succeeded(self) -> None:
        """Close the circuit."""
        self._failures, self._pause_s, self._on_trial, self.reason = 0, 0.0, False, ""

    def failed(self, reason: str) -> None:
        """Count a failure; the circuit opens at the last one allowed, and at any on trial."""
        self.reason = reason
        self._failures += 1
        if self._on_trial or (self._failures >= self._allowed and not self._pause_s):
            self._pause_s = min(2 * self._pause_s or self._first_s, self._most_s)
            self._until_ms = self._clock.steady_ms() + int(1000 * self._pause_s)
        self._on_trial = False

    def abandoned(self) -> None:
        """Say that a request was given up before anybody could know: nothing is learnt."""
        self._on_trial = False
