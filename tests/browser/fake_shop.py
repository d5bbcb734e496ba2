"""A scripted shop for the browser tests: no proxies and no requests, only counters that go up by a table.

The graph, the stream, the config store and the pages are the real ones; this only plays the meter readings.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from graph.model import (
    Counters,
    EdgeKey,
    Histogram,
    Inventory,
    NodeKind,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    Security,
    Service,
    ServiceRef,
    Workload,
    WorkloadRef,
)

CLUSTER = "Kubernetes"
BOUNDS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, math.inf)
HTTP, GRPC, TCP = Protocol.HTTP, Protocol.GRPC, Protocol.TCP


def workload(app: str, version: str = "", namespace: str = "shop") -> WorkloadRef:
    return WorkloadRef(CLUSTER, namespace, f"{app}-{version}" if version else app, app, version)


def service(name: str, namespace: str = "shop") -> ServiceRef:
    return ServiceRef(CLUSTER, namespace, name)


@dataclass
class Line:
    """One edge of the script: who calls whom how often, how badly and how slowly."""

    source: WorkloadRef
    called: ServiceRef
    target: WorkloadRef | None
    protocol: Protocol
    rate: float
    error: float = 0.0
    latency_ms: float = 12.0
    secure: bool = True
    code: str = "503"
    flags: str = "UF"
    succeeded: float = 0.0
    failed: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BOUNDS))
    spent_ms: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.source.workload}>{self.target.workload if self.target else self.called.name}"

    def advance(self, seconds: float, wobble: float) -> None:
        """Count up. Nothing may ever be less by a rounding: that would be a counter that began anew."""
        requests = self.rate * seconds * (1 + 0.16 * wobble)
        self.succeeded += requests * (1 - self.error)
        self.failed += requests * self.error
        self.spent_ms += requests * self.latency_ms
        below = [0.0, *(1 - math.exp(-((bound / (self.latency_ms * 1.1)) ** 2.2)) for bound in BOUNDS)]
        for index, (low, high) in enumerate(pairwise(below)):
            self.buckets[index] += requests * (high - low)

    def observations(self, at_ms: int, epoch: int) -> Iterator[Observation]:
        total = self.succeeded + self.failed
        if not total:
            return
        outcomes = {Outcome("200", "", "-"): self.succeeded}
        if self.failed:
            outcomes[Outcome(self.code, "", self.flags)] = self.failed
        tcp = self.protocol is TCP
        counts = tuple(accumulate(map(int, self.buckets)))
        counters = (
            Counters(sent_bytes=800 * total, received_bytes=1680 * total, opened=total / 50)
            if tcp
            else Counters(requests=outcomes, latency_ms=Histogram(BOUNDS, counts, self.spent_ms))
        )
        security = Security.MUTUAL_TLS if self.secure else Security.NONE
        key = EdgeKey(self.source, self.called, self.target, self.protocol)
        principal = "spiffe://cluster.local/ns/shop/sa/{}"
        for reporter in (Reporter.SOURCE, Reporter.DESTINATION) if self.secure else (Reporter.SOURCE,):
            owner = self.source if reporter is Reporter.SOURCE else self.target
            yield Observation(
                edge=key,
                reporter=reporter,
                instance=f"sidecar~{owner.workload if owner else ''}",
                epoch=epoch,
                at_ms=at_ms,
                counters=counters,
                security=security,
                source_principal=principal.format(self.source.app) if self.secure else "",
                destination_principal=principal.format(self.target.app) if self.secure and self.target else "",
                origin=f"admin socket of {owner.workload if owner else 'the proxy'}",
            )


INGRESS = workload("ingress")
FRONTEND = workload("frontend", "v1")
CATALOG_1, CATALOG_2 = workload("catalog", "v1"), workload("catalog", "v2")
INVENTORY, ORDERS, DB = workload("inventory", "v1"), workload("orders", "v1"), workload("db")
UNKNOWN_HOSTS = service("PassthroughCluster", "unknown")
REFUSED_HOSTS = service("BlackHoleCluster", "unknown")
OUTSIDE = WorkloadRef(CLUSTER, "unknown", "unknown", "unknown", "unknown")


class Shop:
    """The script. Change a line's numbers and the page follows within a tick."""

    def __init__(self, began_ms: int) -> None:
        self.epoch = self.at_ms = began_ms
        self.random = random.Random(7)
        self.lines = {
            line.name: line
            for line in (
                Line(OUTSIDE, service("ingress"), INGRESS, HTTP, 38.2, latency_ms=34, secure=False),
                Line(INGRESS, service("frontend"), FRONTEND, HTTP, 38.0, latency_ms=31),
                Line(FRONTEND, service("catalog"), CATALOG_1, HTTP, 33.5, latency_ms=11),
                Line(FRONTEND, service("catalog"), CATALOG_2, HTTP, 3.7, error=0.06, latency_ms=48),
                Line(FRONTEND, service("orders"), ORDERS, HTTP, 6.4, latency_ms=42),
                Line(CATALOG_1, service("inventory"), INVENTORY, HTTP, 33.0, latency_ms=5),
                Line(CATALOG_2, service("inventory"), INVENTORY, HTTP, 3.6, latency_ms=5),
                Line(ORDERS, service("inventory"), INVENTORY, HTTP, 6.2, latency_ms=5),
                Line(INVENTORY, service("db"), DB, TCP, 40),
                Line(ORDERS, service("db"), DB, TCP, 12),
                Line(ORDERS, service("payments.example.com"), None, HTTP, 3.1, latency_ms=96, secure=False),
                Line(CATALOG_1, UNKNOWN_HOSTS, None, HTTP, 0.6, latency_ms=120, secure=False),
                Line(INVENTORY, REFUSED_HOSTS, None, HTTP, 0.4, error=1.0, flags="NC", code="502", secure=False),
            )
        }

    def split(self, weight_v2: int) -> None:
        total = 37.2
        self.lines["frontend-v1>catalog-v1"].rate = total * (100 - weight_v2) / 100
        self.lines["frontend-v1>catalog-v2"].rate = total * weight_v2 / 100

    def fault(self, mode: str) -> None:
        line = self.lines["frontend-v1>catalog-v2"]
        line.error = 0.42 if mode == "failing" else 0.06
        line.latency_ms = 900 if mode == "slow" else 48

    def advance(self, at_ms: int) -> list[Observation]:
        """Count what went on until then, however long nobody looked."""
        seconds, self.at_ms = max(0, at_ms - self.at_ms) / 1000, at_ms
        for number, line in enumerate(self.lines.values()):
            line.advance(seconds, math.sin(at_ms / 17000 + number) + self.random.uniform(-0.5, 0.5))
        return [item for line in self.lines.values() for item in line.observations(at_ms, self.epoch)]

    def inventory(self) -> Inventory:
        kinds = {INGRESS: NodeKind.GATEWAY, DB: NodeKind.DATABASE}
        badges = {
            CATALOG_1: ("virtual-service", "traffic-shifting"),
            CATALOG_2: ("virtual-service", "traffic-shifting"),
            FRONTEND: ("timeout",),
            INVENTORY: ("circuit-breaker",),
        }
        workloads = (INGRESS, FRONTEND, CATALOG_1, CATALOG_2, INVENTORY, ORDERS, DB)
        of = {
            "catalog": (CATALOG_1, CATALOG_2),
            "frontend": (FRONTEND,),
            "inventory": (INVENTORY,),
            "orders": (ORDERS,),
            "db": (DB,),
        }
        services = {
            service(name): Service(
                ref=service(name),
                kind=NodeKind.SERVICE,
                hosts=(f"{name}.shop.svc.cluster.local",),
                workloads=refs,
                ports={6379: "tcp"} if name == "db" else {80: "http"},
            )
            for name, refs in of.items()
        }
        outside = service("payments.example.com")
        services[outside] = Service(
            ref=outside, kind=NodeKind.EXTERNAL, hosts=("payments.example.com",), workloads=(), ports={80: "http"}
        )
        return Inventory(
            workloads={
                ref: Workload(
                    ref=ref,
                    kind=kinds.get(ref, NodeKind.WORKLOAD),
                    replicas=2 if ref == INVENTORY else 1,
                    service_account=ref.app,
                    badges=badges.get(ref, ()),
                )
                for ref in workloads
            },
            services=services,
        )
