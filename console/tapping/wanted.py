"""Which proxies have to log access so that a reader sees what was asked for, and the Telemetry that has them do so. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collectors.als.tap import TapQuery
from collectors.inventory import workload_ref
from graph.model import ServiceRef, WorkloadRef
from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigObject
from mesh_runtime.api.telemetry import Telemetry
from mesh_runtime.registry import Instance

LABEL, VALUE = "meshscope.dev/made-by", "tap"
"""What the console's own Telemetry carries; nothing else is ever changed or deleted."""
PROVIDER = "meshscope-tap"
MOST = 20
"""So many workloads may be watched at once: whoever looks at more has to choose."""


class Teller(NamedTuple):
    """A workload whose proxies are to log."""

    namespace: str
    workload: str
    mode: str
    """``CLIENT``: what it calls; ``SERVER``: what calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What has to be there, and what cannot be."""

    objects: tuple[ConfigObject, ...] = ()
    refused: tuple[str, ...] = ()
    """Why workloads do not tell, a sentence each."""


def tellers(
    query: TapQuery,
    instances: Iterable[Instance],
    service_of: Callable[[WorkloadRef], ServiceRef | None],
) -> frozenset[Teller]:
    """Choose: callers know both ends of a request, so callees log only where the caller has no proxy or is not named."""
    known = {workload_ref(one) for one in instances}
    inside = [ref for ref in known if query.namespace in {"", ref.namespace}]
    callers = [ref for ref in inside if query.is_source(ref)]
    if callers and (query.source or not query.target):
        return frozenset(Teller(ref.namespace, ref.workload, "CLIENT") for ref in callers)
    callees = [ref for ref in inside if query.is_target(ref, service_of(ref))]
    return frozenset(Teller(ref.namespace, ref.workload, "SERVER") for ref in callees)


def made(wanted: Iterable[Teller], instances: Sequence[Instance], config: Config) -> Made:
    """Make a Telemetry for each workload of which the user's own config says nothing about access logs."""
    modes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for teller in wanted:
        modes[teller.namespace, teller.workload].add(teller.mode)
    objects, refused = [], []
    for (namespace, workload), sides in sorted(modes.items()):
        labels = _common([one.labels for one in instances if (one.namespace, one.workload) == (namespace, workload)])
        if not labels or _logs_anyway(config, namespace, labels):
            continue
        if deciding := next(_deciding(config, namespace, labels), ""):
            refused.append(f"{deciding} says what {namespace}/{workload} logs, and it logs no access")
        else:
            mode = "CLIENT_AND_SERVER" if len(sides) > 1 else next(iter(sides))
            objects.append(_telemetry(namespace, workload, labels, mode))
    return Made(objects=tuple(objects), refused=tuple(refused))


def own(config: Config) -> Iterator[ConfigObject]:
    """Find what the console has made."""
    return (item for item in config.of("Telemetry") if is_own(item))


def is_own(item: ConfigObject) -> bool:
    """Whether the console has made it for a reader."""
    return bool(item.manifest["metadata"].get("labels", {}).get(LABEL) == VALUE)


def _telemetry(namespace: str, workload: str, labels: Mapping[str, str], mode: str) -> ConfigObject:
    return parse(
        {
            "apiVersion": "telemetry.istio.io/v1",
            "kind": "Telemetry",
            "metadata": {"name": f"meshscope-tap-{workload}", "namespace": namespace, "labels": {LABEL: VALUE}},
            "spec": {
                "selector": {"matchLabels": dict(labels)},
                "accessLogging": [{"providers": [{"name": PROVIDER}], "match": {"mode": mode}}],
            },
        }
    )


def _common(labels: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """Keep what all instances carry alike: a selector of these selects every one."""
    return dict(sorted(frozenset.intersection(*(frozenset(one.items()) for one in labels)))) if labels else {}


def _logs_anyway(config: Config, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether the user has it logged already."""
    specs = [spec for _, spec in _applying(config, namespace, labels)]
    if any(not rule.disabled for spec in specs for rule in spec.access_logging):
        return True
    meshes = (item.manifest.get("data") or {} for item in config.of("ConfigMap", ROOT_NAMESPACE))
    return any(word in str(data.get("mesh", "")) for data in meshes for word in ("accessLogFile", "accessLogging"))


def _deciding(config: Config, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    for item, spec in _applying(config, namespace, labels):
        if spec.access_logging:
            yield f"Telemetry {item.key.namespace}/{item.key.name}"


def _applying(config: Config, namespace: str, labels: Mapping[str, str]) -> Iterator[tuple[ConfigObject, Telemetry]]:
    """Find the user's own Telemetry for a workload."""
    for where in dict.fromkeys((ROOT_NAMESPACE, namespace)):
        for item in config.of("Telemetry", where):
            if isinstance(item.spec, Telemetry) and not is_own(item) and _selects(item.spec, labels):
                yield item, item.spec


def _selects(spec: Telemetry, labels: Mapping[str, str]) -> bool:
    wanted = spec.selector.match_labels if spec.selector else {}
    return not spec.references and wanted.items() <= labels.items()
