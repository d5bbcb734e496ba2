"""What one counter set is about: the smallest part of traffic that is counted by itself."""

from __future__ import annotations

from typing import NamedTuple

from graph.model import EdgeKey, Reporter, Security

InstanceKey = tuple[Reporter, str]
"""One process, as one side of its calls."""


class SeriesKey(NamedTuple):
    """What one counter set is about. Anything that differs is counted apart."""

    edge: EdgeKey
    reporter: Reporter
    instance: str
    security: Security
    source_principal: str
    destination_principal: str
    operation: str = ""
    host: str = ""

    @property
    def instance_key(self) -> InstanceKey:
        """Who counts it."""
        return self.reporter, self.instance


class Series(NamedTuple):
    """One counter set: what it counts, where it comes from, and since when (0: from its beginning)."""

    key: SeriesKey
    origin: str
    since_ms: int
