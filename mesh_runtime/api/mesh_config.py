"""Istio's MeshConfig: the key ``mesh`` of the ConfigMap ``istio`` in the root namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from mesh_runtime.api.core import ConfigMap
from mesh_runtime.api.extension_providers import ExtensionProvider
from mesh_runtime.api.networking import HTTPRetry, LocalityLbSetting
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigError, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.problems import problems
from mesh_runtime.api.spec import Flaw, Many, Spec, repeated, text
from mesh_runtime.api.values import dns_name
from mesh_runtime.api.yaml_reader import read

TrustDomain = Annotated[str, AfterValidator(text(dns_name, "write it like a DNS name"))]
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
    trust_domain_aliases: Many[TrustDomain] = ()
    default_config: ProxyConfig = Field(default_factory=ProxyConfig)
    default_http_retry_policy: HTTPRetry | None = None
    """For routes that do not say themselves when to try again; absent: Istio's default."""
    extension_providers: Many[ExtensionProvider] = ()

    def flaws(self) -> Iterator[Flaw]:
        """Policies name providers."""
        for index, name in repeated([provider.name for provider in self.extension_providers]):
            yield Flaw(("extensionProviders", index, "name"), f"{name} is there twice", "rename one")


DEFAULT = MeshConfig()


def mesh_config(config: Config) -> MeshConfig:
    """Return the mesh's config; Istio's defaults where there is none."""
    item = config.objects.get(KEY)
    return DEFAULT if item is None else MeshConfig.model_validate(_written(item))


def unsound(item: ConfigObject) -> Iterator[Problem]:
    """Say what is wrong with the mesh's config, if an object is where it is written."""
    if item.key != KEY:
        return
    try:
        MeshConfig.model_validate(_written(item))
    except ConfigError as error:
        yield from (Problem(str(KEY), "data.mesh", problem.message, problem.fix) for problem in error.problems)
    except ValidationError as error:
        yield from problems(str(KEY), MeshConfig, error, ("data", "mesh"))


def _written(item: ConfigObject) -> Any:
    text = item.spec.data.get("mesh", "") if isinstance(item.spec, ConfigMap) else ""
    found = next((document for _, document in read(text)), None)
    return {} if found is None else found
