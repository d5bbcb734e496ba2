"""A small shop as config, facts about it, and wizards over a real store."""

from __future__ import annotations

from collections.abc import Sequence

from catalog import CATALOG

from mesh_runtime.api import Config, load
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import Wizards
from wizards.facts import Facts, VersionFacts
from wizards.ports import Applied, Settlement

SERVICES = (
    CATALOG
    + """
---
apiVersion: v1
kind: Service
metadata: {name: inventory, namespace: shop}
spec: {selector: {app: inventory}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 6379}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec:
  selector: {app: ingress}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
)

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog-rules, namespace: shop, labels: {team: shelf}}
spec:
  host: catalog
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""

ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog-routes, namespace: shop, annotations: {note: hand-made}}
spec:
  hosts: [catalog]
  http:
  - name: testers
    match: [{headers: {x-tester: {exact: "yes"}}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - name: everyone
    timeout: 2s
    retries: {attempts: 2, retryOn: 5xx}
    route:
    - {destination: {host: catalog, subset: v1}, weight: 90}
    - destination: {host: catalog, subset: v2}
      weight: 10
      headers: {request: {set: {x-shop-fault: slow}}}
"""


def config_of(*texts: str) -> Config:
    items = {item.key: item for text in (SERVICES, *texts) for item in load(text)}
    return Config(revision=7, objects=items, changed_in=dict.fromkeys(items, 7))


def version_facts(version: str, *, instances: int = 1, requests: float = 0, error_ratio: float = 0) -> VersionFacts:
    labels = {"app": "catalog", "version": version}
    return VersionFacts(version=version, instances=instances, labels=labels, requests=requests, error_ratio=error_ratio)


class MemoryLog:
    """A log of changes that ends with the process."""

    def __init__(self) -> None:
        self.entries: list[Applied] = []

    async def record(self, applied: Applied) -> None:
        self.entries.append(applied)

    async def entry(self, applied_id: str) -> Applied | None:
        return next((item for item in self.entries if item.id == applied_id), None)

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        return self.entries[::-1][:limit]


class Bench:
    """Wizards over a real store, with a mesh of three proxies that are quick to answer."""

    def __init__(self, store: SqliteConfig) -> None:
        self.store = store
        self.log = MemoryLog()
        self.running: Facts | None = (version_facts("v1"), version_facts("v2"))
        self.settled: list[int] = []
        self.wizards = Wizards(
            store, self.log, self._settle, facts=lambda _namespace, _service: self.running, clock_ms=lambda: 1_000
        )

    async def _settle(self, revision: int, timeout_s: float) -> Settlement:
        assert timeout_s > 0
        self.settled.append(revision)
        return Settlement(acknowledged=3, elapsed_ms=41.0)

    async def put(self, text: str, author: str = "grace") -> None:
        await self.store.commit(Change(put=load(text), author=author, reason="by hand"))
