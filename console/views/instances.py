"""The processes of a workload: how each is doing, and how its proxy is."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.kubernetes.objects import Pod
from collectors.kubernetes.workloads import REDIRECTION, meshed
from console.views import certificates, proxies


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One process: a proxy of the bundled mesh with its application, or a pod."""

    name: str
    href: str
    state: str
    tone: str
    detail: str
    """The config that its proxy has, or which proxy a pod has and where it runs."""
    certificate: str
    """For how long it is still good; ``""``: not known."""
    certificate_href: str
    certificate_tone: str


def of_proxy(row: proxies.Row, signed: certificates.Row | None) -> Instance:
    """Describe an instance of the bundled mesh by its proxy and its certificate."""
    return Instance(
        name=row.instance,
        href=row.href,
        state=row.word,
        tone=row.tone,
        detail=f"revision {row.revision}" if row.revision else "no config yet",
        certificate=signed.left if signed else "",
        certificate_href=signed.href if signed else "",
        certificate_tone=signed.tone if signed else "",
    )


def of_pod(pod: Pod) -> Instance:
    """Describe a pod of a cluster; who has its certificates is not told there."""
    state, tone = ("Ready", "ok") if pod.ready else ("Not ready" if pod.phase == "Running" else pod.phase, "warn")
    proxy = "ztunnel" if pod.annotations.get(REDIRECTION) == "enabled" else "sidecar" if meshed(pod) else "no proxy"
    return Instance(
        name=pod.name,
        href="",
        state=state,
        tone=tone,
        detail=f"{proxy}, on {pod.node}" if pod.node else proxy,
        certificate="",
        certificate_href="",
        certificate_tone="",
    )
