"""What an EnvoyFilter does to a listener and all that is inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh_runtime.api.networking.envoy_filter import MANAGER, ConfigPatch, FilterChainMatch, FilterMatch, ListenerMatch
from mesh_runtime.xds import protos
from mesh_runtime.xds.translate.patches.lists import MERGES, arranged, merge, merge_filter, merge_held, named, put
from mesh_runtime.xds.translate.patches.route import RoutesPlace, patch_routes
from mesh_runtime.xds.translate.telemetry.grpc_messages import OWN

_ANYTHING = ListenerMatch()
_ANY_CHAIN = FilterChainMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPlace:
    """What a listener is, in the words of Istio's conditions."""

    names: frozenset[str]
    ports: frozenset[int]
    """The numbers that requests through it were meant for; empty: any."""
    routes: RoutesPlace
    """What routes inside the listener are."""


def patch_listener(listener: Any, place: ListenerPlace, patches: Sequence[ConfigPatch]) -> bool:
    """Change a listener in place; false: it is removed."""
    here = [patch for patch in patches if _is_listener(patch, place)]
    for patch in _of(here, "LISTENER"):
        if patch.patch.operation == "REMOVE":
            return False
        if patch.patch.operation in MERGES:
            merge(listener, patch)
    _listener_filters(listener, list(_of(here, "LISTENER_FILTER")))
    kept = [chain for chain in listener.filter_chains if _patch_chain(chain, place, here)]
    added = [patch.value for patch in _of(here, "FILTER_CHAIN") if patch.patch.operation == "ADD"]
    if added or len(kept) < len(listener.filter_chains):
        put(listener, "filter_chains", [*kept, *added])
    if listener.HasField("default_filter_chain") and not _patch_chain(listener.default_filter_chain, place, here):
        listener.ClearField("default_filter_chain")
    return bool(listener.filter_chains) or listener.HasField("default_filter_chain")


def _of(patches: Iterable[ConfigPatch], apply_to: str) -> Iterator[ConfigPatch]:
    return (patch for patch in patches if patch.apply_to == apply_to)


def _is_listener(patch: ConfigPatch, place: ListenerPlace) -> bool:
    wanted = patch.match.listener or _ANYTHING
    chain = wanted.filter_chain or _ANY_CHAIN
    ports = {port for port in (wanted.port_number, chain.destination_port) if port}
    return (not wanted.name or wanted.name in place.names) and (not place.ports or ports <= place.ports)


def _listener_filters(listener: Any, patches: Sequence[ConfigPatch]) -> None:
    filters: Sequence[Any] = list(listener.listener_filters)
    for patch in patches:
        wanted = (patch.match.listener or _ANYTHING).listener_filter
        if patch.patch.operation in MERGES:
            for item in filters:
                if wanted in ("", item.name):
                    merge_filter(item, patch)
        else:
            filters = arranged(filters, patch, partial(named, wanted), pointed=bool(wanted))
    if patches:
        put(listener, "listener_filters", filters)


def _patch_chain(chain: Any, place: ListenerPlace, patches: Sequence[ConfigPatch]) -> bool:
    here = [patch for patch in patches if _is_chain(chain, patch)]
    for patch in _of(here, "FILTER_CHAIN"):
        if patch.patch.operation == "REMOVE":
            return False
        if patch.patch.operation in MERGES:
            _merge_chain(chain, patch)
    _network_filters(chain, list(_of(here, "NETWORK_FILTER")))
    for item in chain.filters:
        if item.name == MANAGER:
            _patch_manager(item, place, here)
    return True


def _is_chain(chain: Any, patch: ConfigPatch) -> bool:
    wanted = (patch.match.listener or _ANYTHING).filter_chain or _ANY_CHAIN
    match = chain.filter_chain_match
    return (
        wanted.name in ("", chain.name)
        and (not wanted.sni or wanted.sni in match.server_names)
        and wanted.transport_protocol in ("", match.transport_protocol)
        and set(filter(None, wanted.application_protocols.split(","))) <= set(match.application_protocols)
    )


def _merge_chain(chain: Any, patch: ConfigPatch) -> None:
    """Merge into a chain; a transport socket of the same name is merged inside, and nothing else then, as in Istio."""
    socket = patch.value.transport_socket
    if (
        patch.value.HasField("transport_socket")
        and chain.HasField("transport_socket")
        and socket.name == chain.transport_socket.name
    ):
        merge_held(chain.transport_socket.typed_config, socket.typed_config)
    else:
        merge(chain, patch)


def _filter(patch: ConfigPatch) -> FilterMatch | None:
    chain = (patch.match.listener or _ANYTHING).filter_chain
    return chain.filter if chain else None


def _network_filters(chain: Any, patches: Sequence[ConfigPatch]) -> None:
    filters: Sequence[Any] = list(chain.filters)
    for patch in patches:
        wanted = _filter(patch)
        name = wanted.name if wanted else ""
        filters = arranged(filters, patch, partial(named, name), pointed=wanted is not None)
    if any(patch.patch.operation not in MERGES for patch in patches):
        put(chain, "filters", filters)
    for patch in patches:
        wanted = _filter(patch)
        for item in chain.filters if patch.patch.operation in MERGES else ():
            if wanted is None or wanted.name == item.name:
                merge_filter(item, patch)


def _patch_manager(item: Any, place: ListenerPlace, patches: Sequence[ConfigPatch]) -> None:
    manager = protos.content(item.typed_config)
    if manager is None or manager.DESCRIPTOR.full_name != protos.MANAGER:
        return  # another filter by that name
    before = item.typed_config.value
    http = [patch for patch in _of(patches, "HTTP_FILTER") if (_filter(patch) or FilterMatch()).name in ("", item.name)]
    _http_filters(manager, http)
    if manager.HasField("route_config"):
        patch_routes(manager.route_config, place.routes, patches)
    after = manager.SerializeToString(deterministic=True)
    if after != before:
        item.typed_config.value = after


def _http_filters(manager: Any, patches: Sequence[ConfigPatch]) -> None:
    filters: Sequence[Any] = list(manager.http_filters)
    for patch in patches:
        wanted = (_filter(patch) or FilterMatch()).sub_filter
        name = wanted.name if wanted else ""
        filters = arranged(filters, patch, partial(named, name), pointed=wanted is not None)
    if any(patch.patch.operation not in MERGES for patch in patches):
        put(manager, "http_filters", filters)
    for patch in patches:
        wanted = (_filter(patch) or FilterMatch()).sub_filter
        for item in manager.http_filters if patch.patch.operation in MERGES else ():
            if wanted.name == item.name if wanted else not item.name.startswith(OWN):
                merge_filter(item, patch)
