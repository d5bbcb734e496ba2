"""What a proxy's resources are in the words of an EnvoyFilter's conditions.

The numbers there are those of services and applications. The ones that stand for them here, because
proxies share a host, are known as well.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.patches.listener import ListenerPlace
from mesh_runtime.xds.translate.patches.route import RoutesPlace
from mesh_runtime.xds.translate.ports import OUTBOUND_PORT, gateway_ports, gateway_servers, inbound_ports, tcp_bindings
from mesh_runtime.xds.translate.world import World

Context = Literal["SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"]


class Places:
    """The resources of one proxy."""

    def __init__(self, world: World, instance: Instance) -> None:
        self.outbound: Context = "GATEWAY" if instance.role is Role.GATEWAY else "SIDECAR_OUTBOUND"
        """The direction of what is neither inbound nor said to be anything."""
        self.services = frozenset(service.host for service in world.services_of(instance))
        """What inbound clusters belong to."""
        self._inbound = {port.listen_port: port.app_port for port in inbound_ports(world, instance)}
        self._declared = defaultdict[int, set[int]](set)
        for number, bound in self._bound(world, instance):
            self._declared[bound].add(number)
        self._servers = [
            (gateway, server.port.number, server.port.name)
            for gateway, spec in gateway_servers(world, instance)
            for server in spec.servers
        ]

    def _bound(self, world: World, instance: Instance) -> list[tuple[int, int]]:
        if self.outbound == "GATEWAY":
            return list(gateway_ports(world, instance).items())
        return [(binding.port.number, binding.bound) for binding in tcp_bindings(world, instance)]

    def cluster(self, name: str) -> Context:
        """Return the direction of a cluster."""
        return "SIDECAR_INBOUND" if name.startswith("inbound|") else self.outbound

    def direction(self, listener: Envoy) -> Context:
        """Return the direction of a listener."""
        inbound = self.outbound != "GATEWAY" and listener.get("traffic_direction") == "INBOUND"
        return "SIDECAR_INBOUND" if inbound else self.outbound

    def listener(self, content: Envoy) -> ListenerPlace:
        """Return what a listener is. The one for all outbound HTTP is every port's."""
        name, bound = content["name"], _port(content)
        if self.direction(content) == "SIDECAR_INBOUND":
            ports = {self._inbound.get(bound, bound)}
            names = {name, "virtualInbound"}
        elif self.outbound == "SIDECAR_OUTBOUND" and bound in {OUTBOUND_PORT, 0}:
            ports, names = set[int](), {name, "virtualOutbound"}
        else:
            ports, names = {bound, *self._declared.get(bound, ())}, {name}
        names.update(f"0.0.0.0_{port}" for port in ports)
        return ListenerPlace(names=frozenset(names), ports=frozenset(ports), routes=RoutesPlace(ports=frozenset(ports)))

    def routes(self, name: str) -> RoutesPlace:
        """Return what a route configuration is, by its name: ``80``, ``http.80``, ``https.443.port.gateway.ns``."""
        if self.outbound == "SIDECAR_OUTBOUND":
            number = int(name) if name.isdecimal() else 0
            return RoutesPlace(ports=frozenset({number} - {0, OUTBOUND_PORT}))
        words = name.split(".")
        number = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
        servers = [server for server in self._servers if server[1] == number]
        if len(words) >= 5:
            owner = f"{words[-1]}/{'.'.join(words[3:-1])}"
            servers = [server for server in servers if (server[0], server[2]) == (owner, words[2])]
        return RoutesPlace(
            ports=frozenset({number} - {0}),
            port_names=frozenset(server[2] for server in servers),
            gateways=frozenset(server[0] for server in servers),
        )


def _port(listener: Envoy) -> int:
    return int(listener.get("address", {}).get("socket_address", {}).get("port_value", 0))
