"""Words to say graph facts in tests with."""

from __future__ import annotations

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

T0 = 1_700_000_000_000
BOUNDS = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, float("inf"))
NOBODY = WorkloadRef("Kubernetes", "unknown", "unknown", "unknown", "")


def workload(app: str, version: str = "", namespace: str = "shop") -> WorkloadRef:
    return WorkloadRef("Kubernetes", namespace, f"{app}-{version}" if version else app, app, version)


def service(name: str, namespace: str = "shop") -> ServiceRef:
    return ServiceRef("Kubernetes", namespace, name)


def edge(source, target, *, via="", protocol=Protocol.HTTP) -> EdgeKey:
    """``edge("web", "cart")``, or with refs, or with ``target=None`` for requests that arrived nowhere."""
    ends = [workload(*end.split("@")) if isinstance(end, str) else end for end in (source, target)]
    name = via or (ends[1].app if ends[1] and via is not None else "")
    return EdgeKey(ends[0], service(name) if name else None, ends[1], protocol)


def latency(*samples_ms: float, bounds=BOUNDS) -> Histogram:
    return Histogram(
        bounds, tuple(float(sum(one <= bound for one in samples_ms)) for bound in bounds), float(sum(samples_ms))
    )


def answered(ok=0.0, *, failed=0.0, lost=0.0, samples=(), **tcp) -> Counters:
    counts = {
        Outcome("200", "", "-"): float(ok),
        Outcome("503", "", "UF"): float(failed),
        Outcome("0", "", "DC"): float(lost),
    }
    return Counters(
        requests={outcome: count for outcome, count in counts.items() if count},
        latency_ms=latency(*samples) if samples else None,
        **tcp,
    )


def seen(key: EdgeKey, counters: Counters, *, at=0.0, by=Reporter.SOURCE, instance="", epoch=T0, **more) -> Observation:
    """A reading ``at`` seconds after the graph's birth."""
    return Observation(
        edge=key,
        reporter=by,
        instance=instance or f"{by}-1",
        epoch=epoch,
        at_ms=T0 + int(1000 * at),
        counters=counters,
        security=more.pop("security", Security.MUTUAL_TLS),
        origin=more.pop("origin", "a test"),
        **more,
    )


def inventory(*workloads: WorkloadRef, external=(), accounts=None, replicas=1) -> Inventory:
    """One service per app, and the external hosts."""
    refs = {
        ref: Workload(
            ref=ref, kind=NodeKind.WORKLOAD, replicas=replicas, service_account=(accounts or {}).get(ref, ref.app)
        )
        for ref in workloads
    }
    services = {
        service(app): Service(
            ref=service(app),
            kind=NodeKind.SERVICE,
            hosts=(f"{app}.shop.svc.cluster.local",),
            workloads=tuple(ref for ref in workloads if ref.app == app),
        )
        for app in dict.fromkeys(ref.app for ref in workloads)
    }
    for host in external:
        services[service(host)] = Service(ref=service(host), kind=NodeKind.EXTERNAL, hosts=(host,), workloads=())
    return Inventory(workloads=refs, services=services)
