"""What agents registered, as the config objects that they stand for."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_runtime import api
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.registry import Instance, RegistryState, Role


def leased_objects(state: RegistryState) -> Iterator[ConfigObject]:
    """Show each sidecar's instance as its WorkloadEntry. They appear in ``get``, never in the history."""
    for instance in state.instances.values():
        if instance.role is Role.SIDECAR:
            yield api.parse(_workload_entry(instance))


def _workload_entry(instance: Instance) -> dict[str, object]:
    _, _, name = instance.id.partition("/")
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": name.replace("~", "-"), "namespace": instance.namespace},
        "spec": {
            "address": instance.address,
            "ports": dict(instance.ports),
            "labels": dict(instance.labels),
            "serviceAccount": instance.service_account,
        },
    }
