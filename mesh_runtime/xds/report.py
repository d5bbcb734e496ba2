"""What the control plane says about its proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mesh_runtime.identity.authority import Leaf
from mesh_runtime.registration import Grant, Registration
from mesh_runtime.registry import Instance, Role
from mesh_runtime.sidecar.bootstrap import bootstrap
from mesh_runtime.xds.snapshot import Envoy, Snapshot
from mesh_runtime.xds.stream import DeltaStream, TypeStatus
from mesh_runtime.xds.translate.ports import OUTBOUND_PORT

REDACTED: Final = "[redacted]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatus:
    """One proxy, and how far it follows."""

    node_id: str
    instance_id: str
    namespace: str
    workload: str
    role: Role
    connected: bool
    revision_acked: int
    """The newest config revision that it has answered completely; 0: none yet."""
    in_sync: bool
    types: Mapping[str, TypeStatus] = field(default_factory=dict)
    problem: str = ""
    """Why the control plane keeps the proxy at an older config, or leaves patches out; ``""``: it does not."""
    notes: tuple[str, ...] = ()
    """What of the config the proxy does not serve, and why: a server of a Gateway whose Secret is missing; and what
    keeps requests from its application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the connected proxies said to a revision, by instance id."""

    acknowledged: tuple[str, ...]
    waiting: tuple[str, ...]
    rejected: Mapping[str, str]
    """With the reason."""
    elapsed_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """A leaf in use; never its key."""

    node_id: str
    instance_id: str
    namespace: str
    workload: str
    identity: str
    serial: str
    root: str
    """The SHA-256 fingerprint of the root that signed it."""
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """Where a gateway listens: each declared port and the one that is opened for it."""

    instance_id: str
    namespace: str
    workload: str
    address: str
    ports: Mapping[int, int]


def proxy_status(
    instance: Instance,
    stream: DeltaStream | None,
    snapshot: Snapshot | None,
    problem: str,
    notes: tuple[str, ...] = (),
) -> ProxyStatus:
    """Say how far a proxy follows. *stream* and *snapshot* are ``None`` while it has none."""
    answered = stream.answered if stream else None
    in_sync = bool(stream and answered and answered is snapshot and not stream.rejections and not problem)
    return ProxyStatus(
        node_id=instance.node_id,
        instance_id=instance.id,
        namespace=instance.namespace,
        workload=instance.workload,
        role=instance.role,
        connected=stream is not None,
        revision_acked=answered.revision if answered else 0,
        in_sync=in_sync,
        types={str(kind): status for kind, status in stream.types.items()} if stream else {},
        problem=problem,
        notes=notes,
    )


def certificate_info(instance: Instance, leaf: Leaf) -> CertificateInfo:
    """Describe a proxy's leaf."""
    return CertificateInfo(
        node_id=instance.node_id,
        instance_id=instance.id,
        namespace=instance.namespace,
        workload=instance.workload,
        identity=leaf.identity,
        serial=leaf.serial,
        root=leaf.root,
        not_before_ms=leaf.not_before_ms,
        not_after_ms=leaf.not_after_ms,
    )


def redacted(resource: Envoy) -> dict[str, Any]:
    """Return a resource without its private key, if it has one."""
    if "tls_certificate" not in resource:
        return dict(resource)
    certificate = {**resource["tls_certificate"], "private_key": {"inline_string": REDACTED}}
    return {**resource, "tls_certificate": certificate}


def redacted_bootstrap(instance: Instance, xds_socket: str) -> dict[str, Any]:
    """Return the bootstrap that an agent makes for an instance, without its token."""
    grant = Grant(
        id=instance.id,
        node_id=instance.node_id,
        workload=instance.workload,
        address=instance.address,
        token=REDACTED,
        service_account=instance.service_account,
        outbound_port=OUTBOUND_PORT,
        xds_socket=xds_socket,
    )
    registration = Registration(
        role=instance.role,
        namespace=instance.namespace,
        service=instance.service or instance.workload,
        labels=instance.labels,
        port=next(iter(instance.ports.values()), 0),
        admin=instance.admin,
    )
    return bootstrap(grant, registration)
