"""One resource with patches applied: changed as a message, checked as Envoy would, remembered by its content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from mesh_runtime.api.networking.envoy_filter import ConfigPatch
from mesh_runtime.api.problems import path
from mesh_runtime.xds import constraints, protos
from mesh_runtime.xds.snapshot import Envoy, InconsistentSnapshotError, Kind
from mesh_runtime.xds.translate.patches.cluster import patch_cluster
from mesh_runtime.xds.translate.patches.listener import ListenerPlace, patch_listener
from mesh_runtime.xds.translate.patches.route import RoutesPlace, patch_routes

Place = frozenset[str] | ListenerPlace | RoutesPlace

_NETWORK: Final = "envoy.extensions.filters.network."
_TERMINAL: Final = frozenset(
    {
        "direct_response",
        "dubbo_proxy",
        "echo",
        "generic_proxy",
        "http_connection_manager",
        "redis_proxy",
        "tcp_proxy",
        "thrift_proxy",
    }
)
_PASSING: Final = frozenset(
    {
        "connection_limit",
        "ext_authz",
        "local_ratelimit",
        "mongo_proxy",
        "ratelimit",
        "rbac",
        "sni_cluster",
        "zookeeper_proxy",
    }
)
_ROUTER: Final = "envoy.extensions.filters.http.router.v3.Router"


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches in order; equal ones are equal keys."""

    items: tuple[ConfigPatch, ...] = field(compare=False)
    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, items: Sequence[ConfigPatch]) -> Patches:
        """Return patches as a key."""
        return cls(tuple(items), tuple(patch.key for patch in items))


def changed(kind: Kind, content: Envoy, patches: Patches, place: Place) -> Envoy | None:
    """Return a resource with patches applied: itself where they change nothing, ``None`` where they remove it.

    Raises :class:`InconsistentSnapshotError` where what comes out is nothing that Envoy would take.
    """
    if not patches.keys:
        return content
    found = _changed(kind, orjson.dumps(content, option=orjson.OPT_SORT_KEYS), patches, place)
    return content if found is _SAME else found


def checked(kind: Kind, message: Any) -> Envoy:
    """Return a message as a resource, if Envoy would take it."""
    for steps, complaint in complaints(message):
        where = f"{path(steps)} " if steps else ""
        raise InconsistentSnapshotError(f"an EnvoyFilter spoils {kind} {message.name}: {where}{complaint}")
    return protos.plain(message)


def complaints(message: Any) -> Iterator[constraints.Complaint]:
    """Yield what Envoy would refuse of a message, beyond its fields' own rules as well."""
    yield from constraints.complaints(message)
    name = message.DESCRIPTOR.full_name
    if name == protos.ROUTES:
        yield from _routes_complaints(message)
    elif name == protos.LISTENER:
        if not message.HasField("address") and not message.HasField("internal_listener"):
            yield ("address",), "is required"
        matches = [chain.filter_chain_match.SerializeToString(deterministic=True) for chain in message.filter_chains]
        if _repeats(matches):
            yield ("filter_chains",), "has two filter chains for the same connections"
        for chain in [*message.filter_chains, message.default_filter_chain]:
            yield from _chain_complaints(chain)
            for item in chain.filters:
                yield from _manager_complaints(protos.content(item.typed_config))


def _chain_complaints(chain: Any) -> Iterator[constraints.Complaint]:
    """Look for what ends a chain, and must be at its end."""
    kinds = [
        item.typed_config.type_url.rpartition("/")[2].removeprefix(_NETWORK).partition(".")[0] for item in chain.filters
    ]
    if not _TERMINAL.isdisjoint(kinds[:-1]) or not _PASSING.isdisjoint(kinds[-1:]):
        yield ("filters",), "must end with a filter that takes the connection, and have no other"


def _manager_complaints(manager: Any) -> Iterator[constraints.Complaint]:
    if manager is None or manager.DESCRIPTOR.full_name != protos.MANAGER:
        return
    routers = [item.typed_config.type_url.endswith(_ROUTER) for item in manager.http_filters]
    if not routers or not routers[-1] or any(routers[:-1]):
        yield ("http_filters",), "must end with the router, and have no other"
    if manager.HasField("route_config"):
        yield from _routes_complaints(manager.route_config)


def _routes_complaints(routes: Any) -> Iterator[constraints.Complaint]:
    if routes.validate_clusters.value:
        yield ("validate_clusters",), "must not be set, because routes may lead nowhere"
    domains = [domain.lower() for host in routes.virtual_hosts for domain in host.domains]
    names = [host.name for host in routes.virtual_hosts]
    for what, values in (("domain", domains), ("virtual host", names)):
        for value in sorted({value for value in values if values.count(value) > 1} if _repeats(values) else ()):
            yield ("virtual_hosts",), f"has the {what} {value} twice"


def _repeats(values: Sequence[str]) -> bool:
    return len(set(values)) < len(values)


_SAME: Final[Envoy] = {}


@lru_cache(maxsize=8192)
def _changed(kind: Kind, canonical: bytes, patches: Patches, place: Place) -> Envoy | None:
    message = protos.message(kind.message, orjson.loads(canonical))
    before = message.SerializeToString(deterministic=True)
    if not _apply(message, patches.items, place):
        return None
    if message.SerializeToString(deterministic=True) == before:
        return _SAME
    return checked(kind, message)


def _apply(message: Any, patches: Sequence[ConfigPatch], place: Place) -> bool:
    if isinstance(place, ListenerPlace):
        return patch_listener(message, place, patches)
    if isinstance(place, RoutesPlace):
        patch_routes(message, place, patches)
        return True
    return patch_cluster(message, place, patches)
