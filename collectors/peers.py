"""Which service or workload an address in a span stands for, so that spans and proxies speak of the same edge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from collectors.addresses import Addresses
from collectors.inventory import workload_ref
from collectors.inventory.hosts import service_host
from graph.model import Inventory, ServiceRef, WorkloadRef
from mesh_runtime.registry import RegistryState

NO_REGISTRY = RegistryState()
NO_CLUSTERS: Mapping[str, Addresses] = MappingProxyType({})
REMEMBERED = 10_000
ANY_CLUSTER = ""
"""Stands for whichever cluster has a name, where the caller's has not."""
IPV4_WITHIN_IPV6 = "::ffff:"
"""How sockets that take both families write an IPv4 address."""


class Peers:
    """Looks addresses up in one state of inventory and registry; made anew when either changes. Immutable."""

    def __init__(
        self,
        known: Inventory,
        state: RegistryState = NO_REGISTRY,
        *,
        addresses: Mapping[str, Addresses] = NO_CLUSTERS,
    ) -> None:
        """``addresses`` are those of Kubernetes clusters, by the cluster's name: several may have the same ones."""
        self._answers: dict[tuple[str, int, WorkloadRef], ServiceRef | WorkloadRef | None] = {}
        self._services = known.services
        self._hosts = {
            (cluster, host.lower()): service.ref
            for service in known.services.values()
            for host in service.hosts
            for cluster in (service.ref.cluster, ANY_CLUSTER)
        }
        self._instances = {one.address: workload_ref(one) for one in state.instances.values()}
        self._meshed = frozenset(self._instances.values())
        self._clusters = addresses
        self._outside: dict[tuple[str, str], ServiceRef | None] = {}
        for service in known.services.values():
            for address in service.addresses:
                for name in (service.ref.cluster, ANY_CLUSTER):
                    place = name, address.lower()
                    self._outside[place] = service.ref if self._outside.get(place, service.ref) == service.ref else None
        self._tcp: defaultdict[int, list[ServiceRef]] = defaultdict(list)
        self._serving: defaultdict[WorkloadRef, list[ServiceRef]] = defaultdict(list)
        for service in known.services.values():
            for port, protocol in service.ports.items():
                if protocol.lower() not in {"http", "http2", "grpc", "grpc-web", "https"}:
                    self._tcp[port].append(service.ref)
            for workload in service.workloads:
                self._serving[workload].append(service.ref)

    def resolve(self, host: str, port: int, source: WorkloadRef) -> ServiceRef | WorkloadRef | None:
        """Say whom *source* means by an address; ``None`` for somebody unknown to the mesh.

        Short names are in the caller's namespace, and names and addresses that several clusters have in the caller's
        cluster. The bundled mesh's workload that calls its own address at the port of a raw-TCP service means that
        service: its sidecar listens there on the service's behalf.
        """
        asked = (host, port, source)
        try:
            return self._answers[asked]
        except KeyError:
            answer = self._resolve(host.lower().rstrip("."), port, source)
        if len(self._answers) >= REMEMBERED:
            self._answers.clear()
        self._answers[asked] = answer
        return answer

    def workloads(self, service: ServiceRef) -> tuple[WorkloadRef, ...]:
        """List the workloads behind a service."""
        known = self._services.get(service)
        return known.workloads if known else ()

    def service_of(self, workload: WorkloadRef) -> ServiceRef | None:
        """Name the service that a workload is reached by; of several the one named as its app, or the first."""
        services = sorted(self._serving.get(workload, ()))
        return next((one for one in services if one.name == workload.app), services[0] if services else None)

    def meshed(self, workload: WorkloadRef) -> bool:
        """Whether a proxy stands beside the workload, and so counts what it does."""
        return workload in self._meshed

    def _resolve(self, host: str, port: int, source: WorkloadRef) -> ServiceRef | WorkloadRef | None:
        named = self._host(host, source) or self._named(host, source) or self._wildcard(host, source)
        if named is not None:
            return named
        return self._at(host.removeprefix(IPV4_WITHIN_IPV6), port, source)

    def _at(self, address: str, port: int, source: WorkloadRef) -> ServiceRef | WorkloadRef | None:
        workload = self._instances.get(address)
        if workload == source:
            services = self._tcp.get(port, [])
            near = [one for one in services if one.namespace == source.namespace] or services
            return near[0] if len(near) == 1 else None
        return workload or self._in_clusters(address, port, source.cluster) or self._by_outside(address, source.cluster)

    def _in_clusters(self, address: str, port: int, cluster: str) -> ServiceRef | WorkloadRef | None:
        """Look in the caller's cluster; where it is none that is followed, in all, of which one only may have it."""
        own = self._clusters.get(cluster)
        found = {one.at(address, port) for one in ((own,) if own else self._clusters.values())} - {None}
        return found.pop() if len(found) == 1 else None

    def _by_outside(self, address: str, cluster: str) -> ServiceRef | None:
        return self._outside.get((cluster, address)) or self._outside.get((ANY_CLUSTER, address))

    def _host(self, host: str, source: WorkloadRef) -> ServiceRef | None:
        return self._hosts.get((source.cluster, host)) or self._hosts.get((ANY_CLUSTER, host))

    def _named(self, host: str, source: WorkloadRef) -> ServiceRef | None:
        name, _, rest = host.partition(".")
        of, _, suffix = rest.partition(".")
        if suffix and suffix != "svc" and not suffix.startswith("svc."):
            return None
        ref = ServiceRef(source.cluster, of or source.namespace, name)
        return ref if ref in self._services else self._host(service_host(ref.name, ref.namespace), source)

    def _wildcard(self, host: str, source: WorkloadRef) -> ServiceRef | None:
        while "." in host:
            host = host.partition(".")[2]
            if found := self._host(f"*.{host}", source):
                return found
        return None
