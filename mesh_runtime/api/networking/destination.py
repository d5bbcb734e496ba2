"""Where routes of every kind lead: a service or a subset of it, and its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from mesh_runtime.api.spec import Flaw, Spec
from mesh_runtime.api.values import DnsLabel, Host, Port

Weight = Annotated[int, Field(ge=0, le=1_000_000)]


class PortSelector(Spec):
    """A port of the destination."""

    number: Port


class Destination(Spec):
    """A service, or a subset of it."""

    host: Host
    subset: DnsLabel = ""
    port: PortSelector | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A destination is one service, or the services of a ServiceEntry's wildcard."""
        if self.host == "*":
            yield Flaw(("host",), "* is not one service", "name the service")


def weight_flaws(weights: Sequence[int]) -> Iterator[Flaw]:
    """Complain where there is no destination, or where several share nothing. Weights are relative to their sum."""
    if not weights:
        yield Flaw(("route",), "is empty", "add a destination")
    elif len(weights) > 1 and not any(weights):
        yield Flaw(("route",), "the weights are all 0, so no destination is left", "give one of them a weight")
