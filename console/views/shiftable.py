"""Which services run in several versions, so that their traffic can be shifted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from graph.model import OUTSIDE_HOSTS, STRANGERS, Snapshot
from mesh_runtime.api.core import Service
from mesh_runtime.api.objects import Config


def shiftable(versioned: Snapshot, config: Config) -> Mapping[str, tuple[str, ...]]:
    """``namespace/service`` to its versions, for HTTP services that select an app of two versions or more.

    *versioned* is a snapshot of the versioned-app graph.
    """
    versions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for node in versioned.nodes.values():
        if node.version and node.app and node.kind not in OUTSIDE_HOSTS | STRANGERS:
            versions[node.namespace, node.app].add(node.version)
    found: dict[str, tuple[str, ...]] = {}
    for item in config.of("Service"):
        if not isinstance(item.spec, Service) or not any(port.takes_requests for port in item.spec.ports):
            continue
        app = item.spec.selector.get("app", "")
        running = versions.get((item.key.namespace, app), set())
        if len(running) > 1 and "version" not in item.spec.selector:
            found[f"{item.key.namespace}/{item.key.name}"] = tuple(sorted(running))
    return found
