"""Which config objects select a workload, by labels or by a service that it answers for; of any cluster's config.

Manifests are read as they are: those of clusters are not parsed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from console.views import format as fmt
from mesh_runtime.api.objects import ROOT_NAMESPACE, ConfigObject

ISTIO = ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
SELECTORS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "AuthorizationPolicy",
            "PeerAuthentication",
            "RequestAuthentication",
            "ProxyConfig",
            "Telemetry",
            "WasmPlugin",
        ),
        ("selector", "matchLabels"),
    ),
    **dict.fromkeys(("EnvoyFilter", "ServiceEntry", "Sidecar"), ("workloadSelector", "labels")),
    "DestinationRule": ("workloadSelector", "matchLabels"),
    "Gateway": ("selector",),
    "Service": ("selector",),
}
"""Where Istio's kinds, and Services, keep the labels of the workloads that they are for."""
FOR_ALL = frozenset(
    {
        "AuthorizationPolicy",
        "EnvoyFilter",
        "PeerAuthentication",
        "ProxyConfig",
        "RequestAuthentication",
        "Sidecar",
        "Telemetry",
        "WasmPlugin",
    }
)
"""Kinds that are for all workloads of their namespace (of all, in the root one) where they select none."""
ICONS: Mapping[str, str] = {
    "AuthorizationPolicy": "shield-check",
    "EnvoyFilter": "wrench",
    "Gateway": "door-open",
    "RequestAuthentication": "user-check",
    "Service": "server",
    "Telemetry": "activity",
}


class Selected(NamedTuple):
    """An object, and how it concerns the workload."""

    item: ConfigObject
    icon: str
    text: str


def selecting(
    objects: Iterable[ConfigObject], namespace: str, labels: Mapping[str, str], services: Collection[str]
) -> Iterator[Selected]:
    """Find the objects that select a workload; *services* are those of its namespace that it answers for."""
    for item in sorted(objects, key=lambda one: one.key):
        key, spec = item.key, item.manifest.get("spec") or {}
        if key.kind not in SELECTORS or key.group not in {*ISTIO, ""}:
            continue
        if key.kind != "Gateway" and key.namespace not in {namespace, ROOT_NAMESPACE}:
            continue
        if why := _why(item, spec, labels, services):
            yield Selected(item, icon(item), "; ".join(filter(None, (phrase(item), why))))


def icon(item: ConfigObject) -> str:
    """What stands beside it."""
    if item.key.kind == "PeerAuthentication":
        return "lock" if _mode(item) == "STRICT" else "lock-open"
    return ICONS.get(item.key.kind, "layers")


def phrase(item: ConfigObject) -> str:
    """What an object does, in a few words; ``""`` where only the object itself can tell."""
    spec = item.manifest.get("spec") or {}
    match item.key.kind:
        case "AuthorizationPolicy":
            rules = fmt.plural(len(spec["rules"]), "rule") if spec.get("rules") else "nobody"
            return f"{spec.get('action', 'ALLOW')} {rules}"
        case "RequestAuthentication":
            return f"tokens of {', '.join(rule.get('issuer', '?') for rule in spec.get('jwtRules') or ())}"
        case "PeerAuthentication":
            return f"mTLS {_mode(item).lower()}"
    return ""


def _mode(item: ConfigObject) -> str:
    spec = item.manifest.get("spec") or {}
    return str((spec.get("mtls") or {}).get("mode", "UNSET"))


def _why(item: ConfigObject, spec: Mapping[str, Any], labels: Mapping[str, str], services: Collection[str]) -> str:
    """Say by what an object selects the workload; ``""``: it does not."""
    kind, namespace = item.key.kind, item.key.namespace
    references = spec.get("targetRefs") or ([spec["targetRef"]] if spec.get("targetRef") else [])
    if references:
        named = [one["name"] for one in references if one.get("kind") == "Service" and one.get("name") in services]
        return f"for service {', '.join(named)}" if named else ""
    wanted: Any = spec
    for field in SELECTORS[kind]:
        wanted = (wanted or {}).get(field)
    if wanted:
        chosen = ", ".join(f"{name}={value}" for name, value in wanted.items())
        return f"by {chosen}" if wanted.items() <= labels.items() else ""
    if kind not in FOR_ALL:
        return ""
    return "for the whole mesh" if namespace == ROOT_NAMESPACE else f"for all of {namespace}"
