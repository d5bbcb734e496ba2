"""What an EnvoyFilter does to a route configuration, its virtual hosts and their routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mesh_runtime.api.networking.envoy_filter import ConfigPatch, RouteConfigurationMatch, VirtualHostMatch
from mesh_runtime.xds.translate.patches.lists import MERGES, arranged, merge, put

_ANYTHING: Final = RouteConfigurationMatch()
_ANY_HOST: Final = VirtualHostMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesPlace:
    """What a route configuration is, in the words of Istio's conditions."""

    ports: frozenset[int] = frozenset()
    """The numbers it is for; empty: its virtual hosts say so in their names."""
    port_names: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()


def patch_routes(routes: Any, place: RoutesPlace, patches: Sequence[ConfigPatch]) -> None:
    """Change a route configuration in place."""
    here = [patch for patch in patches if patch.apply_to in _OBJECTS and _is_configuration(routes, place, patch)]
    for patch in here:
        if patch.apply_to == "ROUTE_CONFIGURATION" and patch.patch.operation in MERGES:
            merge(routes, patch)
    inside = [patch for patch in here if patch.apply_to != "ROUTE_CONFIGURATION"]
    if not inside:
        return
    hosts = [_host(host, place, inside) for host in routes.virtual_hosts]
    added = [
        patch.value
        for patch in inside
        if patch.apply_to == "VIRTUAL_HOST" and patch.patch.operation in {"ADD", *_INSERTS}
    ]
    put(routes, "virtual_hosts", [*(host for host in hosts if host is not None), *added])


_OBJECTS: Final = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_INSERTS: Final = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
_ACTIONS: Final = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


def _wanted(patch: ConfigPatch) -> RouteConfigurationMatch:
    return patch.match.route_configuration or _ANYTHING


def _is_configuration(routes: Any, place: RoutesPlace, patch: ConfigPatch) -> bool:
    wanted = _wanted(patch)
    return (
        wanted.name in ("", routes.name)
        and (not wanted.port_number or not place.ports or wanted.port_number in place.ports)
        and (not wanted.port_name or wanted.port_name in place.port_names)
        and (not wanted.gateway or wanted.gateway in place.gateways)
    )


def _host(host: Any, place: RoutesPlace, patches: Sequence[ConfigPatch]) -> Any:
    """Change a virtual host, and return it or what it is replaced by; ``None``: it is removed."""
    here = [patch for patch in patches if _is_host(host, place, patch)]
    for patch in here:
        if patch.apply_to == "VIRTUAL_HOST":
            if patch.patch.operation == "REMOVE":
                return None
            if patch.patch.operation in MERGES:
                merge(host, patch)
            elif patch.patch.operation == "REPLACE":
                host = type(host).FromString(patch.value.SerializeToString())
    for_routes = [patch for patch in here if patch.apply_to == "HTTP_ROUTE"]
    if for_routes:
        _routes(host, for_routes)
    return host


def _is_host(host: Any, place: RoutesPlace, patch: ConfigPatch) -> bool:
    wanted = _wanted(patch)
    match = wanted.vhost or _ANY_HOST
    port = f":{wanted.port_number}"
    return (
        match.name in ("", host.name)
        and (not match.domain_name or match.domain_name in host.domains)
        # One configuration serves all ports of the outbound listener.
        and (not wanted.port_number or bool(place.ports) or host.name.endswith(port))
    )


def _routes(host: Any, patches: Sequence[ConfigPatch]) -> None:
    routes = [route for route in host.routes if _route(route, patches)]
    found: Sequence[Any] = routes
    for patch in patches:
        operation = patch.patch.operation
        if operation in {"ADD", *_INSERTS}:
            pointed = (_wanted(patch).vhost or _ANY_HOST).route is not None
            if operation == "INSERT_FIRST" and not any(_is_route(route, patch) for route in found) and pointed:
                continue
            found = arranged(found, patch, partial(_is_route, patch=patch), pointed=pointed)
    put(host, "routes", found)


def _route(route: Any, patches: Sequence[ConfigPatch]) -> bool:
    """Change a route in place; false: it is removed."""
    for patch in patches:
        if patch.patch.operation in {"REMOVE", *MERGES} and _is_route(route, patch):
            if patch.patch.operation == "REMOVE":
                return False
            merge(route, patch)
    return True


def _is_route(route: Any, patch: ConfigPatch) -> bool:
    wanted = (_wanted(patch).vhost or _ANY_HOST).route
    if wanted is None:
        return True
    action = route.WhichOneof("action")
    return wanted.name in ("", route.name) and (wanted.action == "ANY" or action == _ACTIONS[wanted.action])
