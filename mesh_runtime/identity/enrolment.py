"""What an agent's registration amounts to: names, labels and identity of an instance, and the Service it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Instance, Role


def workload_name(registration: Registration) -> str:
    """Return ``service-version``, or the service's name where there is no version."""
    if registration.role is Role.GATEWAY or not registration.version:
        return registration.service
    return f"{registration.service}-{registration.version}"


def instance_of(registration: Registration, *, key: str, address: str) -> Instance:
    """Return the instance that a registration describes. One whose application does not listen yet gets no traffic."""
    workload = workload_name(registration)
    number = key.rpartition("~")[2]
    gateway = registration.role is Role.GATEWAY
    return Instance(
        id=key,
        role=registration.role,
        node_id=f"{registration.role}~{address}~{workload}~{number}.{registration.namespace}",
        namespace=registration.namespace,
        workload=workload,
        service="" if gateway else registration.service,
        version=registration.version,
        service_account=registration.service_account or registration.service,
        labels=_labels(registration),
        address=address,
        ports={} if gateway else {registration.protocol: registration.port, **registration.ports},
        locality=registration.locality,
        admin=registration.admin,
        epoch=registration.epoch,
        draining=registration.starting,
    )


def missing_service(config: Config, registration: Registration) -> ConfigObject | None:
    """Return the Service to create for a workload that nothing names yet; ``None``: there is one, or none is needed."""
    key = ObjectKey("", "Service", registration.namespace, registration.service)
    if registration.role is Role.GATEWAY or key in config.objects:
        return None
    port: Mapping[str, Any] = {"name": registration.protocol, "port": 80, "targetPort": registration.port}
    return parse(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": registration.service, "namespace": registration.namespace},
            "spec": {"selector": {"app": registration.service}, "ports": [port]},
        }
    )


def _labels(registration: Registration) -> Mapping[str, str]:
    labels = {"app": registration.service}
    if registration.version:
        labels["version"] = registration.version
    labels |= registration.labels
    labels.setdefault("service.istio.io/canonical-name", labels["app"])
    if "version" in labels:
        labels.setdefault("service.istio.io/canonical-revision", labels["version"])
    return labels
