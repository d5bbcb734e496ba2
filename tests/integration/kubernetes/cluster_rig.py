"""A cluster to write to, and one as it is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from api_server import TOKEN

from collectors.kubernetes.api import KubernetesApi
from collectors.kubernetes.cluster import ClusterWatch
from collectors.kubernetes.config import ClusterConfig
from collectors.kubernetes.objects import ClusterObjects
from collectors.kubernetes.reflection import Pauses
from console.clock import SystemClock
from console.services import serving

QUICK = Pauses(first_s=0.02, most_s=0.2)
PATIENCE_S = 60

Manifest = dict[str, Any]


class Cluster:
    """A cluster that one can write to, in a namespace of one's own."""

    def __init__(self, config: ClusterConfig, namespace: str) -> None:
        self.config = config
        self.namespace = namespace
        self._api = KubernetesApi(config)

    async def apply(self, item: Manifest, *, manager: str = "test", **query: str) -> Manifest:
        """Apply it on the server's side."""
        return await self._api.send(
            "PATCH",
            f"{self._path(item)}/{item['metadata']['name']}",
            {"fieldManager": manager, **query},
            body=item,
            content_type="application/apply-patch+yaml",
        )

    async def delete(self, item: Manifest) -> None:
        """Delete it."""
        await self._api.send("DELETE", f"{self._path(item)}/{item['metadata']['name']}")

    async def names(self, path: str) -> set[tuple[str, str]]:
        """List objects, by namespace and name."""
        items = (await self._api.send("GET", path))["items"]
        return {(one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in items}

    async def close(self) -> None:
        """End connections."""
        await self._api.close()

    @staticmethod
    def _path(item: Manifest) -> str:
        version = item["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        place = item["metadata"].get("namespace")
        return f"{root}/namespaces/{place}/{item['kind'].lower()}s" if place else f"{root}/{item['kind'].lower()}s"


class Followed:
    """A cluster as it is seen."""

    def __init__(self, config: ClusterConfig) -> None:
        self.objects = ClusterObjects()
        self.watch = ClusterWatch(config, SystemClock(), self._show, pauses=QUICK)

    async def until(self, holds: Callable[[Followed], bool]) -> None:
        """Wait for it, as a user does who looks at the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self):  # noqa: ASYNC110 - states are looked at, as the page does
                await asyncio.sleep(0.01)

    def has(self, kind: str, name: str) -> bool:
        """Whether a workload or a declared object is seen."""
        owners = {(one.owner.kind, one.owner.name) for one in self.objects.controllers}
        return (kind, name) in owners | {(one.kind, one.name) for one in self.objects.declared}

    async def _show(self, objects: ClusterObjects) -> None:
        self.objects = objects


@asynccontextmanager
async def following(config: ClusterConfig) -> AsyncIterator[Followed]:
    """Follow a cluster for as long as a block lasts."""
    followed = Followed(config)
    async with serving([followed.watch]):
        yield followed


def write_kubeconfig(
    path: Path, *, token: str = TOKEN, user: Manifest | None = None, tls: Manifest | None = None, **servers: str
) -> Path:
    """Write a kubeconfig with a context per server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(servers)),
        "clusters": [{"name": name, "cluster": {"server": url, **(tls or {})}} for name, url in servers.items()],
        "users": [{"name": "reader", "user": user or {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "reader"}} for name in servers],
    }
    path.write_text(yaml.safe_dump(config))
    return path
