"""Which servers a gateway opens where: those of all its Gateways put together, by Istio's rules.

Servers without TLS share a port only where all of them speak HTTP. Servers with TLS share one as long as their hosts
differ. What comes first (by namespace and name) has the port; what does not fit is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh_runtime.api.networking import Server
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.ports import gateway_servers
from mesh_runtime.xds.translate.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server, and the Gateway it is of."""

    gateway: str
    """``namespace/name``."""
    server: Server

    @property
    def namespace(self) -> str:
        """The Gateway's."""
        return self.gateway.partition("/")[0]

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"Gateway {self.gateway} port {self.server.port.number} ({self.server.port.name})"

    @property
    def server_names(self) -> tuple[str, ...]:
        """What clients may ask for by SNI; empty: anything."""
        names = sorted({host.rpartition("/")[2].lower() for host in self.server.hosts})
        return () if "*" in names else tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort:
    """A port at one address (``""``: the gateway's own), and who is served there."""

    number: int
    bind: str
    plain: tuple[Served, ...]
    secured: tuple[Served, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Everything that a gateway opens, and what it leaves out and why."""

    ports: tuple[OpenPort, ...]
    left_out: tuple[str, ...]


def merged_gateways(world: World, instance: Instance) -> Merged:
    """Put the servers of an instance's Gateways together."""
    return world.once(("merged gateways", instance.id), lambda: _merge(world, instance))


def _merge(world: World, instance: Instance) -> Merged:
    merger = _Merger()
    for gateway, spec in gateway_servers(world, instance):
        for server in spec.servers:
            merger.add(Served(gateway=gateway, server=server))
    return Merged(ports=tuple(merger.ports()), left_out=tuple(merger.left_out))


class _Merger:
    def __init__(self) -> None:
        self.left_out: list[str] = []
        self._plain: dict[tuple[int, str], list[Served]] = {}
        self._secured: dict[tuple[int, str], list[Served]] = {}
        self._hosts: dict[tuple[int, str, str], Served] = {}

    def add(self, served: Served) -> None:
        server = served.server
        place = server.port.number, server.bind
        conflict = self._conflict(served, place)
        if conflict:
            self.left_out.append(f"{served.title} is left out: {conflict}")
            return
        if server.tls is not None:
            self._hosts |= {(*place, host): served for host in _claimed(served)}
        family = self._secured if server.over_tls else self._plain
        family.setdefault(place, []).append(served)

    def ports(self) -> Iterator[OpenPort]:
        for place in sorted({*self._plain, *self._secured}):
            yield OpenPort(
                number=place[0],
                bind=place[1],
                plain=tuple(self._plain.get(place, ())),
                secured=tuple(self._secured.get(place, ())),
            )

    def _conflict(self, served: Served, place: tuple[int, str]) -> str:
        server = served.server
        plain = self._plain.get(place, ())
        if plain and not (server.is_http and plain[0].server.is_http and not server.over_tls):
            return f"the port speaks {plain[0].server.port.protocol} for Gateway {plain[0].gateway}"
        taken = [host for host in _claimed(served) if (*place, host) in self._hosts] if server.tls is not None else []
        if taken:
            return f"{', '.join(taken)} is served by Gateway {self._hosts[*place, taken[0]].gateway}"
        return ""


def _claimed(served: Served) -> Iterator[str]:
    """Yield what nobody else may serve on the port: with TLS all that SNI can tell apart, else hosts as written."""
    if served.server.over_tls:
        yield from served.server_names or ("*",)
        return
    for host in served.server.hosts:
        where, slash, name = host.rpartition("/")
        namespace = {".": served.namespace, "*": ""}.get(where, where) if slash else ""
        yield f"{namespace}/{name}" if namespace else name
