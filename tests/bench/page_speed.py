"""An Istio page of 100,000 series parsed and folded, beside a parser that reads every line anew."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from collectors.dialects import istio
from collectors.exposition import Exposition
from graph.ledger import Ledger
from tests.bench.timing import cpu_seconds, ratio

BOUNDS = (
    *("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000"),
    *("300000", "600000", "1800000", "3600000", "+Inf"),
)
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([^ \n]+)')
LABEL = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


def report(*, series: int = 100_000, rounds: int = 9) -> Iterator[str]:
    rng = random.Random(1)
    names = _names(series)
    counts = [0] * len(names)
    exposition = Exposition(istio.DIALECT, cluster="Kubernetes")
    ledger = Ledger(0)
    page = _page(names, counts)
    theirs = cpu_seconds(lambda: _plain(page))
    ours, all_change = [], []
    for step in range(rounds + 2):
        everything = step % 2
        for number in range(len(counts)):
            # In every other page all numbers change, else those of a tenth of the edges.
            if everything or (number // 22 + step) % 10 == 0:
                counts[number] += rng.randrange(1, 9)
        page = _page(names, counts)
        took = cpu_seconds(lambda page=page, step=step: ledger.fold(_read(exposition, page, step)))
        if step > 1:
            (all_change if everything else ours).append(took * 1000)
    title = f"an Istio page of {len(names):,} series ({len(page) / 1e6:.0f} MB) parsed and folded"
    for what, measured in (("a tenth changed", ours), ("all changed", all_change)):
        yield ratio(measured, [theirs * 1000] * len(measured)).line(f"{title}, {what}", "ms", "parsed by a plain regex")


def _read(exposition: Exposition, page: str, step: int) -> list:
    return exposition.read(page, instance="proxy", epoch=1, at_ms=1000 * (step + 1), origin="bench")


def _plain(page: str) -> int:
    samples = {}
    for metric, labels, number in LINE.findall(page):
        samples[metric, tuple(LABEL.findall(labels))] = float(number)
    return len(samples)


def _names(series: int) -> list[str]:
    names = []
    number = 0
    while len(names) < series:
        labels = _labels(number)
        names.append(f"istio_requests_total{{{labels}}}")
        base = "istio_request_duration_milliseconds"
        names += [f'{base}_bucket{{{labels},le="{bound}"}}' for bound in BOUNDS]
        names.append(f"{base}_sum{{{labels}}}")
        number += 1
    return names


def _labels(number: int) -> str:
    source, target = f"caller-{number % 97}", f"callee-{number // 3}"
    identity = "spiffe://cluster.local/ns/{ns}/sa/{sa}"
    labels = {
        "reporter": "source",
        "source_workload": f"{source}-v1",
        "source_canonical_service": source,
        "source_canonical_revision": "v1",
        "source_workload_namespace": "bookinfo",
        "source_principal": identity.format(ns="bookinfo", sa=source),
        "source_app": source,
        "source_version": "v1",
        "source_cluster": "Kubernetes",
        "destination_workload": f"{target}-v2",
        "destination_workload_namespace": "bookinfo",
        "destination_principal": identity.format(ns="bookinfo", sa=target),
        "destination_app": target,
        "destination_version": "v2",
        "destination_service": f"{target}.bookinfo.svc.cluster.local",
        "destination_canonical_service": target,
        "destination_canonical_revision": "v2",
        "destination_service_name": target,
        "destination_service_namespace": "bookinfo",
        "destination_cluster": "Kubernetes",
        "request_protocol": "http",
        "response_code": ("200", "404", "503")[number % 3],
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "mutual_tls",
    }
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def _page(names: list[str], counts: list[int]) -> str:
    # Buckets are cumulative; the counts of one histogram are given by the running sum.
    lines = []
    running = 0
    for name, count in zip(names, counts, strict=True):
        running = running + count if "_bucket{" in name else 0
        lines.append(f"{name} {running or count}\n")
    return "".join(lines)
