"""Which endpoints are near a caller: localities, with the priorities and weights that Istio gives them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mesh_runtime.api.networking import TOPOLOGY, LocalityLbSetting, ZoneAwareLbSetting
from mesh_runtime.registry import Role
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.endpoints import Endpoint, lb_endpoint
from mesh_runtime.xds.translate.calling.nearness import Nearness
from mesh_runtime.xds.translate.calling.rules import WORKLOAD, Client
from mesh_runtime.xds.translate.world import World

_OTHER_REGION = 3
_NO_REFUGE = 4
_REGIONS = 3
"""Priorities of regions: the caller's, its refuge, and all others."""
_FINE = 10_000
"""The weight of all of a caller's requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Endpoints of one locality that are chosen alike."""

    locality: str
    endpoints: tuple[Endpoint, ...]
    weight: int
    priority: int = 0
    """0 is asked first; each next one only takes over what those before it cannot bear. No number is left out."""


def places(world: World, client: Client, found: Sequence[Endpoint], preferred: Nearness | None) -> tuple[Place, ...]:
    """Return the endpoints as a caller is to prefer them."""
    near = tuple(_by_locality(found))
    if preferred is None or not preferred.is_relative:
        return near
    setting = preferred.setting
    if isinstance(setting, LocalityLbSetting) and setting.distribute:
        return _distributed(setting, client.locality, near)
    if setting.failover_priority:
        near = _without_gaps(_by_labels(setting.failover_priority, client, near))
        if isinstance(setting, LocalityLbSetting) and not setting.failover:
            return near
    if isinstance(setting, LocalityLbSetting):
        return _without_gaps(_by_distance(setting, client.locality, near))
    regions = _without_gaps(_by_region(setting, client.locality, near))
    return _without_gaps(_by_zone(regions, client.locality, _callers(world, client), setting.min_cluster_size))


def assignment(name: str, near: Sequence[Place], mutual: str) -> Envoy:
    """Return Envoy's form. *mutual* says who is called with mutual TLS: ``all``, ``capable`` or ``none``."""
    return {"cluster_name": name, "endpoints": [_envoy_s(place, mutual) for place in near]}


def _envoy_s(place: Place, mutual: str) -> Envoy:
    region, zone, subzone = _parts(place.locality)
    where = {"locality": {"region": region, "zone": zone, "sub_zone": subzone}} if place.locality else {}
    return {
        **where,
        "lb_endpoints": [lb_endpoint(one, mutual) for one in place.endpoints],
        "load_balancing_weight": place.weight,
        **({"priority": place.priority} if place.priority else {}),
    }


def _by_locality(found: Sequence[Endpoint]) -> Iterator[Place]:
    grouped = defaultdict[str, list[Endpoint]](list)
    for one in found:
        grouped[one.locality].append(one)
    for locality, inside in sorted(grouped.items()):
        yield Place(locality=locality, endpoints=tuple(inside), weight=_weight(inside))


def _weight(found: Sequence[Endpoint]) -> int:
    return min(sum(one.weight for one in found), 2**32 - 1)


def _distributed(setting: LocalityLbSetting, caller: str, near: tuple[Place, ...]) -> tuple[Place, ...]:
    """Give each locality its share; those that a caller's rule does not name get nothing."""
    shares = next((one.to for one in setting.distribute if _fits(caller, one.from_)), None)
    if shares is None:
        return near
    left = list(near)
    given: list[Place] = []
    for pattern, share in shares.items():
        fitting = [place for place in left if _fits(place.locality, pattern)]
        left = [place for place in left if place not in fitting]
        total = sum(place.weight for place in fitting)
        given += [replace(place, weight=math.ceil(place.weight * share / total)) for place in fitting]
    return tuple(sorted(given, key=lambda place: place.locality))


def _fits(locality: str, pattern: str) -> bool:
    wanted = pattern.split("/")
    return all(part in ("*", own) for part, own in zip(wanted, _parts(locality), strict=False))


def _parts(locality: str) -> tuple[str, str, str]:
    region, _, rest = locality.partition("/")
    zone, _, subzone = rest.partition("/")
    return region, zone, subzone


def _by_distance(setting: LocalityLbSetting, caller: str, near: tuple[Place, ...]) -> Iterator[Place]:
    """Keep the order that there is, and within it prefer the same subzone, zone, region, and the refuge's region."""
    region = _parts(caller)[0]
    refuge = next((one.to for one in setting.failover if one.from_ == region), None)
    for place in near:
        distance = _distance(caller, place.locality)
        if distance == _OTHER_REGION and refuge is not None and _parts(place.locality)[0] != refuge:
            distance = _NO_REFUGE
        yield replace(place, priority=place.priority * (_NO_REFUGE + 1) + distance)


def _by_region(setting: ZoneAwareLbSetting, caller: str, near: tuple[Place, ...]) -> Iterator[Place]:
    """Keep the order that there is, and within it prefer the own region, and then the refuge's."""
    region = _parts(caller)[0]
    refuge = next((one.to for one in setting.failover if one.from_ == region), None)
    for place in near:
        order = (region, refuge, _parts(place.locality)[0]).index(_parts(place.locality)[0])
        yield replace(place, priority=place.priority * _REGIONS + order)


def _callers(world: World, client: Client) -> Counter[str]:
    """Count the instances of a caller's own workload, by locality."""
    own = {name: value for name, value in client.labels if name in WORKLOAD}
    found = world.selected(client.namespace, own or None, Role.GATEWAY if client.gateway else Role.SIDECAR)
    alike = (one for one in found if all(one.labels.get(name) == own.get(name) for name in WORKLOAD))
    return Counter(one.locality for one in alike if not one.draining)


def _by_zone(near: Sequence[Place], caller: str, callers: Counter[str], least: int) -> Iterator[Place]:
    """Share the nearest among zones as Envoy's zone aware routing does, which would have to know the callers itself.

    A zone with room for all that its callers ask keeps it. One with less keeps what it can bear, and the rest goes to
    zones with more room than callers. Others only take over what those cannot bear.
    """
    first = [place for place in near if place.priority == 0]
    total = sum(len(place.endpoints) for place in first)
    if len(first) == 1 or total < least or caller not in {place.locality for place in first}:
        yield from near
        return
    room = {place.locality: len(place.endpoints) / total for place in first}
    shares = _shares(caller, room, {place: callers[place] / (callers.total() or 1) for place in room})
    for place in near:
        if place.priority:
            yield replace(place, priority=place.priority + 1)
        elif place.locality in shares:
            yield replace(place, weight=max(1, round(shares[place.locality] * _FINE)))
        else:
            yield replace(place, priority=1)


def _shares(caller: str, room: Mapping[str, float], asked: Mapping[str, float]) -> Mapping[str, float]:
    """Return which share of a caller's requests goes to which zone, by each one's share of endpoints and callers."""
    if room[caller] >= asked[caller]:
        return {caller: 1.0}
    stays = room[caller] / asked[caller]
    spare = {place: room[place] - asked[place] for place in room if room[place] > asked[place]}
    leaving = (1 - stays) / sum(spare.values())
    return {caller: stays, **{place: leaving * amount for place, amount in spare.items()}}


def _distance(one: str, other: str) -> int:
    same = [mine == theirs for mine, theirs in zip(_parts(one), _parts(other), strict=True)]
    return _OTHER_REGION - (same.index(False) if False in same else _OTHER_REGION)


def _by_labels(labels: Sequence[str], client: Client, near: tuple[Place, ...]) -> Iterator[Place]:
    """Prefer endpoints by how many of the labels, from the first one on, they have as wanted."""
    own = {**_topology(client.locality), **dict(client.labels)}
    wanted = [(name, value if given else own.get(name, "")) for name, given, value in map(_split, labels)]
    for place in near:
        ranked = defaultdict[int, list[Endpoint]](list)
        for one in place.endpoints:
            has = {**_topology(one.locality), **one.labels}
            missed = next((at for at, (name, value) in enumerate(wanted) if has.get(name, "") != value), len(wanted))
            ranked[len(wanted) - missed].append(one)
        for rank, inside in sorted(ranked.items()):
            yield Place(locality=place.locality, endpoints=tuple(inside), weight=_weight(inside), priority=rank)


def _split(label: str) -> tuple[str, bool, str]:
    name, given, value = label.partition("=")
    return name, bool(given), value


def _topology(locality: str) -> Mapping[str, str]:
    return {name: part for name, part in zip(TOPOLOGY, _parts(locality), strict=True) if part}


def _without_gaps(found: Iterator[Place]) -> tuple[Place, ...]:
    """Number the priorities from 0 on."""
    ranked = tuple(found)
    numbers = {priority: number for number, priority in enumerate(sorted({place.priority for place in ranked}))}
    return tuple(replace(place, priority=numbers[place.priority]) for place in ranked)
