"""By which tolerances health is judged: Kiali's ``health_config.rate`` in our settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, Field

from graph.health import DEFAULT, Tolerance


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as wrong:
        raise ValueError(f"{text!r} is no regular expression: {wrong}") from wrong
    return text


Expression = Annotated[str, AfterValidator(_expression)]
"""Matches the whole word, whether or not it begins with ``^`` and ends with ``$``."""
Percent = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Borne:
    """How much of some answers is borne."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    code: Expression
    """HTTP's or gRPC's status, or ``-`` for no answer; an X stands for a digit: ``5XX``."""
    degraded: Percent = 0.0
    """From this percentage of the protocol's requests on it is degraded; 0: by any."""
    failure: Percent
    """From this percentage on it has failed; above 100: never."""
    protocol: Expression = ".*"
    """``http``, ``grpc``, ``tcp``."""
    direction: Expression = ".*"
    """``inbound``, ``outbound``."""

    def __post_init__(self) -> None:
        """Refuse what could never be degraded."""
        if self.failure < self.degraded:
            raise ValueError(f"failure ({self.failure:g}) must not be below degraded ({self.degraded:g})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Tolerances of some items; the first entry that matches an item judges it, and Kiali's own where none does."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    namespace: Expression = ".*"
    kind: Expression = ".*"
    """``app``, ``service``, ``workload``."""
    name: Expression = ".*"
    tolerance: Annotated[tuple[Borne, ...], Field(min_length=1)]
    """``[[health.rate.tolerance]]`` tables."""


def tolerances_of(rates: Sequence[Rate]) -> tuple[Tolerance, ...]:
    """All tolerances, the user's before the defaults. An item's own annotation goes before them."""
    return (
        *(
            Tolerance(
                code=borne.code,
                degraded=borne.degraded,
                failure=borne.failure,
                protocol=borne.protocol,
                direction=borne.direction,
                namespace=rate.namespace,
                kind=rate.kind,
                name=rate.name,
                entry=number,
            )
            for number, rate in enumerate(rates)
            for borne in rate.tolerance
        ),
        *DEFAULT,
    )
