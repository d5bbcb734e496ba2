"""Which kinds are read, and in which version the API server has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from collectors.kubernetes import objects
from collectors.kubernetes.api import ApiError, JsonObject, KubernetesApi

NOT_FOUND = 404

Keep = Callable[[str, str, Mapping[str, Any]], object]
"""What is kept of an object, by its ``apiVersion`` and kind."""

NATIVE: Mapping[tuple[str, str], Keep] = MappingProxyType(
    {
        ("", "namespaces"): objects.declared,
        ("", "pods"): objects.pod,
        ("", "services"): objects.declared,
        ("apps", "deployments"): objects.controller,
        ("apps", "statefulsets"): objects.controller,
        ("apps", "daemonsets"): objects.controller,
        ("batch", "jobs"): objects.controller,
        ("batch", "cronjobs"): objects.controller,
        ("discovery.k8s.io", "endpointslices"): objects.endpoint_slice,
    }
)
"""Kubernetes' own kinds that are read, by group and plural; ReplicaSets are not: pods tell what they stand for."""


class Resource(NamedTuple):
    """A kind that is served."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def keep(self) -> Keep:
        """What is kept of one."""
        return NATIVE.get((self.group, self.plural), objects.declared)

    def path(self, namespace: str = "") -> str:
        """Where they are listed: of one namespace, or all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"


async def served(api: KubernetesApi, config_groups: Collection[str]) -> Collection[Resource]:
    """Ask for all kinds that are read and that the server has, each in the version that it likes best."""
    found: dict[tuple[str, str], Resource] = {}
    versions = [("", "v1"), *await _versions(api, {*(group for group, _ in NATIVE), *config_groups})]
    for group, version in versions:
        for one in await _resources(api, group, version):
            wanted = (group, one["name"]) in NATIVE or (group in config_groups and _is_followed(one))
            if wanted:
                resource = Resource(group, version, one["name"], one["kind"], one["namespaced"])
                found.setdefault((group, resource.plural), resource)
    return found.values()


async def _versions(api: KubernetesApi, groups: Collection[str]) -> list[tuple[str, str]]:
    """Tell which versions of groups there are, the best ones of each first."""
    answer = await api.send("GET", "/apis")
    if answer.get("kind") != "APIGroupList":
        raise ApiError(f"{api.server} is no Kubernetes API server", 0)
    known: list[JsonObject] = answer["groups"]
    return [(one["name"], each["version"]) for one in known if one["name"] in groups for each in one["versions"]]


async def _resources(api: KubernetesApi, group: str, version: str) -> list[JsonObject]:
    try:
        answer = await api.send("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
    except ApiError as refusal:
        if refusal.status == NOT_FOUND:  # uninstalled between the two questions
            return []
        raise
    resources: list[JsonObject] = answer["resources"]
    return resources


def _is_followed(resource: JsonObject) -> bool:
    """Whether it can be listed and watched, and is no part of another, as ``gateways/status`` is."""
    return {"list", "watch"} <= set(resource["verbs"]) and "/" not in resource["name"]
