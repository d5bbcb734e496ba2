"""What an agent's registration amounts to: names, labels and identity of an instance, and the Service it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mesh_runtime.api.kinds import KINDS
from mesh_runtime.api.manifest import parse
from mesh_runtime.api.mesh_config import mesh_config
from mesh_runtime.api.networking import WorkloadGroup, WorkloadTemplate
from mesh_runtime.api.networking.proxy_config import ProxyConfig
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigObject, ObjectKey
from mesh_runtime.registration import Health, Registration, Start
from mesh_runtime.registry import Instance, Role

_GROUPS: Final = KINDS["WorkloadGroup"].group
_NO_TEMPLATE: Final = WorkloadTemplate()


def workload_name(registration: Registration) -> str:
    """Return ``service-version``, or the service's name where there is no version."""
    if registration.role is Role.GATEWAY or not registration.version:
        return registration.service
    return f"{registration.service}-{registration.version}"


def group_of(config: Config, registration: Registration) -> WorkloadGroup | None:
    """Return the WorkloadGroup that a workload joins: the one of its name, else of its service's."""
    if registration.role is Role.GATEWAY:
        return None
    for name in (workload_name(registration), registration.service):
        item = config.objects.get(ObjectKey(_GROUPS, "WorkloadGroup", registration.namespace, name))
        if item is not None and isinstance(item.spec, WorkloadGroup):
            return item.spec
    return None


def health_of(group: WorkloadGroup | None) -> Health | None:
    """Return how a group's workloads are asked whether they are ready; ``None``: it does not say."""
    if group is None or group.probe is None:
        return None
    probe, http = group.probe, group.probe.http_get
    asked = http or probe.tcp_socket
    place = asked or probe.grpc
    return Health(
        command=probe.exec.command if probe.exec else (),
        path=f"/{http.path.removeprefix('/')}" if http else "",
        host=asked.host if asked and asked.host else "127.0.0.1",
        port=place.port if place else 0,
        grpc=probe.grpc.service if probe.grpc else None,
        encrypted=bool(http and http.scheme == "HTTPS"),
        headers={header.name: header.value for header in http.http_headers} if http else {},
        delay_s=probe.initial_delay_seconds,
        interval_s=probe.period_seconds or 10,
        timeout_s=probe.timeout_seconds or 1,
        successes=probe.success_threshold or 1,
        failures=probe.failure_threshold or 3,
    )


def start_of(config: Config, instance: Instance) -> Start:
    """Return how an instance's proxy is started.

    As the mesh's config says, then the ProxyConfigs of the mesh, of the namespace and of the workload: what a narrower
    one says comes before what a wider one does, variable by variable.
    """
    defaults = mesh_config(config).default_config
    concurrency, environment = defaults.concurrency, defaults.proxy_metadata
    for spec in _proxy_configs(config, instance):
        concurrency = spec.concurrency if spec.concurrency is not None else concurrency
        environment = {**environment, **spec.environment_variables}
    return Start(concurrency=1 if concurrency is None else concurrency, environment=environment)


def _proxy_configs(config: Config, instance: Instance) -> Iterator[ProxyConfig]:
    """Yield what applies to an instance, the widest first: of each width the oldest, as in Istio."""
    for where in dict.fromkeys((ROOT_NAMESPACE, instance.namespace)):
        yield from [spec for spec in _specs(config, where) if not spec.labels][:1]
    chosen = (spec for spec in _specs(config, instance.namespace) if spec.labels)
    yield from [spec for spec in chosen if spec.labels.items() <= instance.labels.items()][:1]


def _specs(config: Config, namespace: str) -> Iterator[ProxyConfig]:
    found = sorted(config.of("ProxyConfig", namespace), key=lambda item: item.since)
    return (item.spec for item in found if isinstance(item.spec, ProxyConfig))


def instance_of(registration: Registration, *, key: str, address: str, group: WorkloadGroup | None = None) -> Instance:
    """Return the instance that a registration describes. One whose application does not listen yet gets no traffic.

    What the registration leaves open its group's template says.
    """
    workload = workload_name(registration)
    template = group.template if group else _NO_TEMPLATE
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
        service_account=registration.service_account or template.service_account or registration.service,
        labels=_labels(registration, group),
        address=address,
        ports={} if gateway else _ports(registration, template),
        locality=registration.locality or template.locality,
        admin=registration.admin,
        epoch=registration.epoch,
        draining=registration.starting,
        trouble=registration.trouble,
    )


def missing_service(config: Config, registration: Registration) -> ConfigObject | None:
    """Return the Service to create for a workload that nothing names yet; ``None``: there is one, or none is needed."""
    key = ObjectKey("", "Service", registration.namespace, registration.service)
    ports = list(_service_ports(registration))
    if not ports or key in config.objects:
        return None
    return parse(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": registration.service, "namespace": registration.namespace},
            "spec": {
                "selector": {"app": _labels(registration, group_of(config, registration))["app"]},
                "ports": ports,
            },
        }
    )


def _service_ports(registration: Registration) -> Iterator[Mapping[str, Any]]:
    """Yield the ports of the Service that is made: the application's, or those by which members call a gateway."""
    if registration.role is not Role.GATEWAY:
        yield {"name": registration.protocol, "port": 80, "targetPort": registration.port}
        return
    for name, number in registration.ports.items():
        yield {"name": name, "port": number, "targetPort": number}


def _ports(registration: Registration, template: WorkloadTemplate) -> Mapping[str, int]:
    """Return the application's ports by name, its main one first, under the name that the template has for it."""
    named = {**template.ports, **registration.ports}
    main = next((name for name, port in named.items() if port == registration.port), registration.protocol)
    return {main: registration.port, **{name: port for name, port in named.items() if name != main}}


def _labels(registration: Registration, group: WorkloadGroup | None) -> Mapping[str, str]:
    labels = {"app": registration.service}
    if registration.version:
        labels["version"] = registration.version
    if group is not None:
        labels |= {**group.template.labels, **group.metadata.labels}
    labels |= registration.labels
    labels.setdefault("service.istio.io/canonical-name", labels["app"])
    if "version" in labels:
        labels.setdefault("service.istio.io/canonical-revision", labels["version"])
    return labels
