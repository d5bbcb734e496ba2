"""What one proxy was given, resource by resource, as Envoy's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

Kind = Literal["clusters", "listeners", "endpoints", "routes", "secrets", "bootstrap"]
"""What can be asked for, by its name in addresses, in the API and on the command line."""
KINDS: tuple[Kind, ...] = get_args(Kind)


class Type(NamedTuple):
    """A type of resources in Envoy's protocol."""

    title: str
    kind: Kind
    """Where its resources are shown: virtual hosts with the routes that they belong to."""


TYPES: Mapping[str, Type] = {
    "CDS": Type("Clusters", "clusters"),
    "LDS": Type("Listeners", "listeners"),
    "EDS": Type("Endpoints", "endpoints"),
    "RDS": Type("Routes", "routes"),
    "VHDS": Type("Virtual hosts", "routes"),
    "SDS": Type("Secrets", "secrets"),
}
"""By name, in the order in which they are shown."""
SHOWN = 50
"""Resources at most; the search finds the others."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource and its JSON."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The resources of one kind that fit the search."""

    instance: str
    what: str
    resources: tuple[Resource, ...]
    hidden: int
    text: str


def given(instance: str, what: str, resources: Iterable[Mapping[str, Any]], text: str = "") -> Given:
    """Search by any words of names and contents."""
    words = text.lower().split()
    every = (Resource(_name(one, what), json.dumps(one, indent=2, ensure_ascii=False)) for one in resources)
    found = sorted((one for one in every if all(word in one.text.lower() for word in words)), key=lambda one: one.name)
    return Given(
        instance=instance,
        what=what,
        resources=tuple(found[:SHOWN]),
        hidden=max(0, len(found) - SHOWN),
        text=text,
    )


def _name(resource: Mapping[str, Any], what: str) -> str:
    return str(resource.get("name") or resource.get("cluster_name") or what)
