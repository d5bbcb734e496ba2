"""VirtualService rules for connections, as filter chains of a listener.

A listener for a service's port, or for a server of a Gateway, asks :func:`l4_chains` what the ``tcp`` or
``tls`` rules make of it, and adds what they leave open: a ``tcp`` listener without a chain for all
connections gets one to the service itself; a ``tls`` listener gets that only if there is no chain at all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import MESH, L4MatchAttributes, RouteDestination, VirtualService
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.routing.host_rules import virtual_services_for
from mesh_runtime.xds.translate.routing.http_route import Caller, destination_cluster
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.sidecar_scope import find_service, follows
from mesh_runtime.xds.translate.world import World

_Rule = tuple[tuple[str, ...], tuple[str, ...], Sequence[RouteDestination]]
"""Server names and destination subnets (empty: any), and where to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L4Chain:
    """What one rule makes of the connections that fit it."""

    match: Envoy
    """A ``filter_chain_match``: ``server_names``, ``prefix_ranges``, both, or ``{}`` for all connections.

    No two chains of one answer overlap, as Envoy demands. ``server_names`` need a TLS inspector.
    """
    clusters: Envoy
    """``cluster`` or ``weighted_clusters``, to be given to :func:`filters.tcp_proxy`."""
    service: MeshService | None
    """The first destination; its DestinationRule's timeouts and hashing hold for the connection."""
    subset: str = ""


def l4_chains(world: World, caller: Caller, hosts: Iterable[str], *, tls: bool) -> tuple[L4Chain, ...]:
    """Return the chains that VirtualServices' rules make of a listener, in order, the first one for a match only.

    *caller* names the gateway (``mesh``, or ``namespace/name``), the declared port, and for ``mesh`` the
    namespace and labels of the workload. *hosts* is who can be reached there: a service's full host, or
    the hosts of a Gateway's server as written (``namespace/host`` included). A VirtualService for other
    hosts has no say. *tls* asks for ``tls`` rules, for bytes that are passed on as they are encrypted;
    otherwise ``tcp`` rules are asked for, whether or not a gateway decrypts before. Nothing is added for
    connections that no rule speaks of.
    """
    wanted = tuple(hosts)
    rules = (
        (item, rule)
        for item, spec in virtual_services_for(world, caller.namespace)
        if _is_bound(caller, item, spec)
        and _speaks_of(caller, item, spec, wanted)
        and follows(world, caller.scope, caller.port, item, spec)
        for rule in (_tls_rules(spec, caller, item) if tls else _tcp_rules(spec, caller, item))
    )
    return tuple(_chains(world, caller, rules))


def _is_bound(caller: Caller, item: ConfigObject, spec: VirtualService) -> bool:
    return _names_gateway(caller, item, spec.gateways or (MESH,))


def _names_gateway(caller: Caller, item: ConfigObject, gateways: Iterable[str]) -> bool:
    full = (name if "/" in name or name == MESH else f"{item.key.namespace}/{name}" for name in gateways)
    return caller.gateway in full


def _speaks_of(caller: Caller, item: ConfigObject, spec: VirtualService, hosts: Sequence[str]) -> bool:
    written = [resolve_host(host, item.key.namespace) for host in spec.hosts]
    offered = [_offered(caller, item, host) for host in hosts]
    return any(matches(own, other) or matches(other, own) for own in written for other in offered if other)


def _offered(caller: Caller, item: ConfigObject, host: str) -> str:
    """Return a server's host without the namespace it is for; empty: it is for another one."""
    where, slash, pattern = host.rpartition("/")
    own = caller.gateway.partition("/")[0]
    if slash and {"*": item.key.namespace, ".": own}.get(where, where) != item.key.namespace:
        return ""
    return resolve_host(pattern, own) if caller.gateway != MESH else pattern


def _tcp_rules(spec: VirtualService, caller: Caller, item: ConfigObject) -> Iterator[_Rule]:
    for rule in spec.tcp:
        fitting = [match for match in rule.match if _applies(match, caller, item)]
        if not rule.match or any(not match.destination_subnets for match in fitting):
            yield (), (), rule.route
        elif fitting:
            yield (), tuple(subnet for match in fitting for subnet in match.destination_subnets), rule.route


def _tls_rules(spec: VirtualService, caller: Caller, item: ConfigObject) -> Iterator[_Rule]:
    for rule in spec.tls:
        for match in rule.match:
            if _applies(match, caller, item):
                names = () if "*" in match.sni_hosts else match.sni_hosts
                yield names, match.destination_subnets, rule.route


def _applies(match: L4MatchAttributes, caller: Caller, item: ConfigObject) -> bool:
    """Tell whether a match can hold, by what is known before a connection comes."""
    if match.port not in {None, caller.port}:
        return False
    if match.gateways and not _names_gateway(caller, item, match.gateways):
        return False
    if caller.gateway != MESH:
        return True
    return match.source_namespace in {"", caller.namespace} and all(
        caller.labels.get(key) == value for key, value in match.source_labels.items()
    )


def _chains(world: World, caller: Caller, rules: Iterable[tuple[ConfigObject, _Rule]]) -> Iterator[L4Chain]:
    """Build chains; what an earlier rule has taken is taken away from the later ones."""
    taken: set[tuple[str, str]] = set()
    for item, (names, subnets, route) in rules:
        for group, ranges in _free(names or ("",), [_network(subnet) for subnet in subnets] or [""], taken).items():
            match: dict[str, object] = {"server_names": list(ranges)} if ranges != ("",) else {}
            if group != ("",):
                match["prefix_ranges"] = [_range(network) for network in group]
            yield L4Chain(
                match=match,
                clusters=_clusters(world, caller, item.key.namespace, route),
                service=find_service(world, caller.scope, resolve_host(route[0].destination.host, item.key.namespace)),
                subset=route[0].destination.subset,
            )


def _free(
    names: Iterable[str], networks: Iterable[str], taken: set[tuple[str, str]]
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the names by the networks that nobody has taken for them, and take them."""
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name in dict.fromkeys(name.lower() for name in names):
        free = tuple(network for network in dict.fromkeys(networks) if (name, network) not in taken)
        taken.update((name, network) for network in free)
        if free:
            groups[free] = (*groups.get(free, ()), name)
    return groups


def _network(subnet: str) -> str:
    return str(ipaddress.ip_network(subnet, strict=False))


def _range(network: str) -> Envoy:
    address, _, length = network.partition("/")
    return {"address_prefix": address, "prefix_len": int(length)}


def _clusters(world: World, caller: Caller, namespace: str, route: Sequence[RouteDestination]) -> Envoy:
    named = [(destination_cluster(world, caller, namespace, item.destination), item.weight) for item in route]
    if len(named) == 1:
        return {"cluster": named[0][0]}
    # A weight of 0 is not valid for Envoy's TCP proxy.
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in named if weight]}}
