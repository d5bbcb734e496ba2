"""Istio's MeshConfig: the key ``mesh`` of the ConfigMap ``istio`` in the root namespace."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh_runtime.api.core import ConfigMap
from mesh_runtime.api.networking import HTTPRetry, LocalityLbSetting
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ObjectKey
from mesh_runtime.api.spec import Many, Spec
from mesh_runtime.api.yaml_reader import read

KEY = ObjectKey("", "ConfigMap", ROOT_NAMESPACE, "istio")


class OutboundTrafficPolicy(Spec):
    """What happens to traffic to hosts that the mesh does not know."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class EmptyMessage(Spec):
    """Something that is there or not, and has no fields."""


class GatewayTopology(Spec):
    """What stands before the gateways."""

    num_trusted_proxies: Annotated[int, Field(ge=0, le=100)] = 0
    """How many proxies' word on the client's address and protocol is taken."""
    forward_client_cert_details: Literal[
        "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
    ] = "UNDEFINED"
    """What becomes of ``x-forwarded-client-cert``; by default it says what the gateway has verified itself."""
    proxy_protocol: EmptyMessage | None = None
    """Connections begin with a line of the PROXY protocol."""


class ProxyConfig(Spec):
    """What holds for every proxy."""

    gateway_topology: GatewayTopology = Field(default_factory=GatewayTopology)


class MeshConfig(Spec):
    """What holds for the whole mesh."""

    outbound_traffic_policy: OutboundTrafficPolicy = Field(default_factory=OutboundTrafficPolicy)
    enable_auto_mtls: bool = True
    locality_lb_setting: LocalityLbSetting = Field(default_factory=LocalityLbSetting)
    """What holds where a DestinationRule has none of its own."""
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "DO_NOT_UPGRADE"
    trust_domain_aliases: Many[str] = ()
    default_config: ProxyConfig = Field(default_factory=ProxyConfig)
    default_http_retry_policy: HTTPRetry | None = None
    """For routes that do not say themselves when to try again; absent: Istio's default."""


DEFAULT = MeshConfig()


def mesh_config(config: Config) -> MeshConfig:
    """Return the mesh's config; Istio's defaults where there is none."""
    item = config.objects.get(KEY)
    if item is None or not isinstance(item.spec, ConfigMap) or "mesh" not in item.spec.data:
        return DEFAULT
    return MeshConfig.model_validate(next((document for _, document in read(item.spec.data["mesh"])), {}))
