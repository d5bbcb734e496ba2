"""The addresses of a cluster, as its pods, Services and EndpointSlices say them, and for a while after they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from collectors.addresses import Addresses, Party, Place
from collectors.inventory.objects import part, parts, texts
from collectors.kubernetes.names import ref_of
from collectors.kubernetes.objects import ClusterObjects, Declared, Pod, Slice
from graph.model import ServiceRef, WorkloadRef
from graph.ports import Clock

LINGER_MS = 300_000
"""Spans and logs of a pod's last calls come after it is gone, and addresses are seldom given anew so soon."""
HEADLESS = "None"

Answer = tuple[Place, Party]


def addresses_of(objects: ClusterObjects, cluster: str) -> Addresses:
    """Say who answers at which address. Pure."""
    pods = [pod for pod in objects.pods if pod.holds_address]
    services = [one for one in objects.declared if (one.group, one.kind) == ("", "Service")]
    own = _agreed(chain(_of_pods(pods, cluster), _of_services(services, cluster)))
    others = (one for one in _of_slices(objects.slices, pods, cluster) if Place(one[0].address) not in own)
    return Addresses(
        places=_agreed(others) | own,
        nodes=frozenset(pod.host for pod in pods if pod.host),
        node_ports=dict(_node_ports(services, cluster)),
    )


class Remembered:
    """Remembers who answered at an address that is nobody's any more, for :data:`LINGER_MS`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now: Mapping[Place, Party | None] = {}
        self._gone: dict[Place, tuple[Party | None, int]] = {}

    def beside(self, found: Addresses) -> Addresses:
        """Take in what answers now, and return it together with what is remembered."""
        now_ms = self._clock.steady_ms()
        gone = {place: (party, now_ms) for place, party in self._now.items() if place not in found.places}
        self._gone = {
            place: (party, since_ms)
            for place, (party, since_ms) in (self._gone | gone).items()
            if place not in found.places and now_ms - since_ms < LINGER_MS
        }
        self._now = found.places
        return replace(found, places={place: party for place, (party, _) in self._gone.items()} | {**found.places})


def _agreed(answers: Iterable[Answer]) -> dict[Place, Party | None]:
    """Put answers together; where they differ, it is nobody's."""
    agreed: dict[Place, Party | None] = {}
    for place, party in answers:
        agreed[place] = party if agreed.get(place, party) == party else None
    return agreed


def _of_pods(pods: Iterable[Pod], cluster: str) -> Iterator[Answer]:
    """Yield pods' own addresses; those on their node's network have only the ports that they declare."""
    for pod in pods:
        ref = ref_of(pod, cluster)
        if pod.on_host_network:
            ports = [port.number for container in pod.containers for port in container.ports]
            yield from ((Place(address, port), ref) for address in pod.addresses for port in ports)
        else:
            yield from ((Place(address), ref) for address in pod.addresses)


def _of_services(services: Iterable[Declared], cluster: str) -> Iterator[Answer]:
    for one in services:
        spec = part(one.manifest, "spec")
        for address in texts(spec, "clusterIPs") or (str(spec.get("clusterIP") or HEADLESS),):
            if address != HEADLESS:
                yield Place(address), ServiceRef(cluster, one.namespace, one.name)


def _of_slices(slices: Iterable[Slice], pods: Iterable[Pod], cluster: str) -> Iterator[Answer]:
    """Yield what else Services lead to: pods on their node's network, and whatever somebody wrote into a slice."""
    known: Mapping[tuple[str, str], WorkloadRef] = {(pod.namespace, pod.name): ref_of(pod, cluster) for pod in pods}
    for one in slices:
        service = ServiceRef(cluster, one.namespace, one.service)
        for endpoint in one.endpoints:
            party = known.get((one.namespace, endpoint.pod), service)
            yield from ((Place(address, port), party) for address in endpoint.addresses for port in one.ports)


def _node_ports(services: Sequence[Declared], cluster: str) -> Iterator[tuple[int, ServiceRef]]:
    for one in services:
        for port in parts(part(one.manifest, "spec"), "ports"):
            if port.get("nodePort"):
                yield port["nodePort"], ServiceRef(cluster, one.namespace, one.name)
