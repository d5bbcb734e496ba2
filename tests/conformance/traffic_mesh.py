"""The environment of Istio's traffic tests: its applications with real sidecars, a gateway, one control plane."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import yaml

from mesh_runtime.api import load
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role
from mesh_runtime.sidecar.binary import envoy_path
from mesh_runtime.sidecar.child import Child
from mesh_runtime.store.port import Change
from mesh_runtime.xds.translate import MeshSettings
from tests.conformance.echo_apps import EchoApps, Port, free_port
from tests.integration.xds.xds_mesh import PATIENCE_S, Mesh, Workload, until

GATEWAY = "ingress"
MAIN = "http"
"""The port by whose protocol an application is registered; the others are further ports."""


class TrafficMesh:
    """Start it once; config comes and goes with each case."""

    def __init__(self, environment: Mapping[str, Any]) -> None:
        self.namespace: str = environment["namespace"]
        self.ports = [Port.of(port) for port in environment["ports"]]
        self._apps: Mapping[str, Any] = environment["apps"]
        self._ingress: Mapping[str, Any] = environment["ingress"]
        self.mesh = Mesh(settings=MeshSettings(unprivileged_from=1024, port_listeners=True))
        self.echo = EchoApps(self.ports)

    async def start(self) -> None:
        mesh = await self.mesh.start()
        await self.echo.start(list(self._apps))
        mesh.stack.push_async_callback(self.echo.close)
        await self._start_front()
        await mesh.apply(yaml.safe_dump_all(self._services()), settle=False)
        for app, described in self._apps.items():
            await self._start_app(app, described["labels"])
        await self._start_gateway()

    async def close(self) -> None:
        await self.mesh.close()

    async def apply(self, objects: tuple[ConfigObject, ...]) -> str:
        """Apply a case's config and wait for it; return what is wrong: a proxy rejects it, or has not answered."""
        revision = await self.mesh.store.commit(Change(put=objects))
        return await self._settled(revision.number)

    async def delete(self, objects: tuple[ConfigObject, ...]) -> None:
        """Take a case's config away."""
        keys = [item.key for item in objects if item.key in self.mesh.store.current.objects]
        if keys:
            revision = await self.mesh.store.commit(Change(delete=tuple(keys)))
            await self._settled(revision.number)

    async def _settled(self, revision: int) -> str:
        settled = await self.mesh.control.settled(revision, PATIENCE_S)
        if settled.waiting:
            return f"not acknowledged within {PATIENCE_S} s: {', '.join(settled.waiting)}"
        reasons = "; ".join(sorted(set(settled.rejected.values())))
        return f"a proxy rejects it: {reasons[:500]}" if reasons else ""

    def address(self, app: str) -> str:
        """An application's own address, which is its pod's in Istio."""
        return self.mesh.workloads[app].address

    def dialled(self, app: str, port: int) -> tuple[str, int]:
        """Where an application reaches a port of any service: its sidecar's listener of that number."""
        node = self.mesh.workloads[app].grant.node_id
        bound = {
            one["address"]["socket_address"]["port_value"]
            for one in self.mesh.control.resources(node, "listeners")
            if one.get("traffic_direction") == "OUTBOUND" and "address" in one
        }
        return self.address(app), next((number for number in (port, 8000 + port) if number in bound), 15001)

    def raw(self, app: str, host: str, port: int) -> tuple[str, int] | None:
        """Where an application reaches a port of a service that is not only HTTP: a listener of its own."""
        node = self.mesh.workloads[app].grant.node_id
        leads = f'"outbound|{port}||{host}"'
        for one in self.mesh.control.resources(node, "listeners"):
            bound = one.get("address", {}).get("socket_address", {}).get("port_value")
            if one.get("traffic_direction") == "OUTBOUND" and bound and leads in json.dumps(one):
                return self.address(app), bound
        return None

    def gateway(self, port: int) -> tuple[str, int] | None:
        """Where the gateway listens for a declared port; ``None``: it does not."""
        (status,) = self.mesh.control.gateways()
        return (status.address, status.ports[port]) if port in status.ports else None

    async def _start_front(self) -> None:
        path = self.mesh.dir / "front.json"
        path.write_text(json.dumps(self.echo.front()))
        self.mesh.envoys["front"] = await Child.start(
            [envoy_path(), "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"],
            output=self.mesh.dir / "front.log",
        )

        async def answers() -> bool:
            number = self.echo.numbers[next(iter(self._apps)), MAIN]
            try:
                return (await self.mesh.send(f"http://127.0.0.1:{number}/", "echo")).status == 200
            except aiohttp.ClientError:
                return False

        await until(answers, 15)

    async def _start_app(self, app: str, labels: Mapping[str, str]) -> None:
        numbers = {port.name: self.echo.numbers[app, port.name] for port in self.ports}
        workload = Workload(None, None, port=numbers.pop(MAIN))
        workload.registration = Registration(
            role=Role.SIDECAR,
            namespace=self.namespace,
            service=app,
            labels=labels,
            port=workload.port,
            protocol=MAIN,
            ports=numbers,
            admin=str(self.mesh.dir / f"{app}.admin"),
            epoch=self.mesh.clock.now_ms(),
        )
        await self.mesh.join(app, workload)

    async def _start_gateway(self) -> None:
        registration = Registration(
            role=Role.GATEWAY,
            namespace=self._ingress["namespace"],
            service=GATEWAY,
            labels=self._ingress["labels"],
            admin=str(self.mesh.dir / "gateway.admin"),
        )
        await self.mesh.join(GATEWAY, Workload(None, registration))

    def _services(self) -> list[dict[str, Any]]:
        return [self._service(app, described) for app, described in self._apps.items()]

    def _service(self, app: str, described: Mapping[str, Any]) -> dict[str, Any]:
        headless = app == "headless"
        declared = [port for port in self.ports if port.service is not None]
        ports = [
            {
                "name": port.name,
                "port": port.workload if headless else port.service,
                "targetPort": self.echo.numbers[app, port.name],
            }
            for port in declared
        ]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": app, "namespace": self.namespace},
            "spec": {"selector": {"app": app}, "ports": ports} | ({"clusterIP": "None"} if headless else {}),
        }


def with_certificates(text: str, namespace: str, secret: Mapping[str, str]) -> tuple[ConfigObject, ...]:
    """Read a case's config; a Secret without data is filled with the runner's own certificate."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    for document in documents:
        if document["kind"] == "Secret" and not document.get("data"):
            document["data"] = dict(secret)
    return load(yaml.safe_dump_all(documents), default_namespace=namespace)


__all__ = ["GATEWAY", "TrafficMesh", "free_port", "with_certificates"]
