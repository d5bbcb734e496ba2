"""Live requests: whose can be watched, and what can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is asked for, as the address says it."""

    source: str
    target: str
    method: str
    path: str
    status: str
    min_ms: str
    errors: bool
    names: Mapping[str, str]
    """Who can be chosen: how the tap calls him, how people do."""


def filters(parameters: Mapping[str, str], known: Iterable[tuple[str, str]]) -> Filters:
    """Read the address; *known* are namespaces and workloads."""
    source, target = parameters.get("source", ""), parameters.get("target", "")
    names = {f"{workload}.{namespace}": f"{namespace}/{workload}" for namespace, workload in known}
    names |= {one: one for one in (source, target) if one and one not in names}
    return Filters(
        source=source,
        target=target,
        method=parameters.get("method", "").upper(),
        path=parameters.get("path", ""),
        status=parameters.get("status", ""),
        min_ms=parameters.get("minMs", ""),
        errors=parameters.get("errors") == "true",
        names=dict(sorted(names.items(), key=lambda item: item[1])),
    )
