"""What users change of generated resources themselves: EnvoyFilters, by Istio's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from mesh_runtime.api.networking.envoy_filter import ConfigPatch, EnvoyFilter
from mesh_runtime.api.objects import CLUSTER, ROOT_NAMESPACE, ConfigObject
from mesh_runtime.api.security import GATEWAY_NAME
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import (
    NOWHERE,
    Envoy,
    Group,
    InconsistentSnapshotError,
    Kind,
    each_of,
    split_table,
    whole_tables,
)
from mesh_runtime.xds.translate.patches.cluster import fold_http_options, leave_source_open
from mesh_runtime.xds.translate.patches.places import Context, Places
from mesh_runtime.xds.translate.patches.resource import Patches, Place, changed, checked
from mesh_runtime.xds.translate.spec import spec_of
from mesh_runtime.xds.translate.world import World, selects

Resources = Mapping[Kind, tuple[Group, ...]]

PROXY_VERSION: Final = "1.30.0"
"""The release of Istio whose rules proxies follow: what conditions on their version look at."""
_ADDS: Final = frozenset({"ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST"})
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - what is looked for, not listened on


def patches_of(world: World, instance: Instance) -> Mapping[str, ConfigPatch]:
    """Return the patches that apply to an instance's proxy, in their order, by where they are written."""
    return world.once(("patches", instance.id), lambda: dict(_patches(world, instance)))


def patched(world: World, instance: Instance, resources: Resources, left_out: frozenset[str]) -> Resources:
    """Return an instance's resources with the patches that apply to it; the same ones where none does."""
    patches = [patch for where, patch in patches_of(world, instance).items() if where not in left_out]
    if not patches:
        return resources
    proxy = _Proxy(instance, patches, Places(world, instance))
    clusters = proxy.clusters(resources[Kind.CDS])
    listeners = proxy.listeners(resources[Kind.LDS])
    tables, hosts = proxy.routes(resources[Kind.RDS], resources.get(Kind.VHDS, ()))
    _refuse_shared_addresses(listeners)
    return {
        **resources,
        Kind.CDS: clusters,
        Kind.EDS: _assignments(resources[Kind.EDS], clusters),
        **_redirected(
            {Kind.LDS: listeners, Kind.RDS: tables, Kind.VHDS: hosts},
            _names(resources[Kind.CDS]) - _names(clusters),
        ),
    }


def _refuse_shared_addresses(listeners: Sequence[Group]) -> None:
    taken: dict[str, str] = {}
    for content in each_of(listeners):
        for where in (content, *content.get("additional_addresses", ())) if "address" in content else ():
            other = taken.setdefault(str(where["address"]), content["name"])
            if other != content["name"]:
                raise InconsistentSnapshotError(f"{Kind.LDS} {content['name']} has the address of {other}")


def _patches(world: World, instance: Instance) -> Iterator[tuple[str, ConfigPatch]]:
    found = [
        (item, spec_of(item, EnvoyFilter))
        for namespace in dict.fromkeys((ROOT_NAMESPACE, instance.namespace))
        for item in world.objects("EnvoyFilter", namespace)
    ]
    metadata = _metadata(instance)
    for item, spec in sorted(found, key=lambda pair: _order(*pair)):
        if _selects(item, spec, instance):
            for index, patch in enumerate(spec.config_patches):
                if patch.match.proxy is None or patch.match.proxy.matches(PROXY_VERSION, metadata):
                    yield f"{item.key} spec.configPatches[{index}]", patch


def _order(item: ConfigObject, spec: EnvoyFilter) -> tuple[int, bool, int, str]:
    return spec.priority, item.key.namespace != ROOT_NAMESPACE, item.since, item.key.name


def _selects(item: ConfigObject, spec: EnvoyFilter, instance: Instance) -> bool:
    if spec.target_refs:
        name = instance.labels.get(GATEWAY_NAME)
        own = item.key.namespace == instance.namespace
        return own and name is not None and any(reference.name == name for reference in spec.target_refs)
    labels = spec.workload_selector.labels if spec.workload_selector else {}
    return not labels or selects(labels, instance.labels)


def _metadata(instance: Instance) -> Mapping[str, str]:
    """Return what Istio's proxies say of themselves in their node's metadata."""
    return {
        "CLUSTER_ID": CLUSTER,
        "INSTANCE_IPS": instance.address,
        "ISTIO_VERSION": PROXY_VERSION,
        "NAME": instance.id.rpartition("/")[2],
        "NAMESPACE": instance.namespace,
        "SERVICE_ACCOUNT": instance.service_account,
        "WORKLOAD_NAME": instance.workload,
    }


class _Proxy:
    """A proxy whose resources are patched."""

    def __init__(self, instance: Instance, patches: Sequence[ConfigPatch], places: Places) -> None:
        self._instance = instance
        self._places = places
        self._of: dict[tuple[Context, Kind], Patches] = {}
        self._all = patches

    def clusters(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """Change clusters, and add those that patches bring."""

        def place(content: Envoy) -> tuple[Context, Place]:
            return self._places.cluster(content["name"]), self._places.services

        return self._with(Kind.CDS, groups, place, self._added("CLUSTER"))

    def listeners(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """Change listeners, and add those that patches bring."""

        def place(content: Envoy) -> tuple[Context, Place]:
            return self._places.direction(content), self._places.listener(content)

        return self._with(Kind.LDS, groups, place, self._added("LISTENER"))

    def routes(
        self, tables: tuple[Group, ...], hosts: tuple[Group, ...]
    ) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
        """Change routes that have a name of their own, whole; the others are inside listeners."""

        def place(content: Envoy) -> tuple[Context, Place]:
            return self._places.outbound, self._places.routes(content["name"])

        if not self._patches(self._places.outbound, Kind.RDS).keys:
            return tables, hosts
        every = list(each_of(hosts))
        whole = tuple(tuple(whole_tables(each_of((group,)), every)) for group in tables)
        found = self._with(Kind.RDS, whole, place, ())
        if all(new is old for new, old in zip(found, whole, strict=True)):
            return tables, hosts
        split = [[split_table(table) for table in each_of((group,))] for group in found]
        return tuple(tuple(head for head, _ in group) for group in split), tuple(own for one in split for _, own in one)

    def _with(
        self,
        kind: Kind,
        groups: tuple[Group, ...],
        place: Callable[[Envoy], tuple[Context, Place]],
        added: Group,
    ) -> tuple[Group, ...]:
        found = [self._group(kind, group, place) for group in groups]
        return (*found, added) if added else tuple(found)

    def _group(self, kind: Kind, group: Group, place: Callable[[Envoy], tuple[Context, Place]]) -> Group:
        """Change a group; it stays the same one where none of it changes."""
        found = []
        old = tuple(each_of((group,)))
        for content in old:
            context, where = place(content)
            new = changed(kind, content, self._patches(context, kind), where)
            if new is not None and new.get("address") != content.get("address"):
                new = self._at_home(new)
            found.append(new)
        if all(mine is theirs for mine, theirs in zip(found, old, strict=True)):
            return group
        return tuple(content for content in found if content is not None)

    def _patches(self, context: Context, kind: Kind) -> Patches:
        """Return the patches that may concern a kind of resource in one direction."""
        if (context, kind) not in self._of:
            wanted = [
                patch
                for patch in self._all
                if patch.match.context in ("ANY", context) and kind in _CONCERNED.get(patch.apply_to, (Kind.LDS,))
            ]
            self._of[context, kind] = Patches.of(wanted)
        return self._of[context, kind]

    def _added(self, apply_to: str) -> Group:
        """Return what patches bring. One for any direction brings it to the outbound side alone, as in Istio."""
        contexts = {"ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"}
        here = {"ANY", "GATEWAY"} if self._places.outbound == "GATEWAY" else contexts
        return tuple(
            self._new(apply_to, patch.value)
            for patch in self._all
            if patch.apply_to == apply_to and patch.patch.operation in _ADDS and patch.match.context in here
        )

    def _new(self, apply_to: str, value: Any) -> Envoy:
        message = type(value).FromString(value.SerializeToString())
        if apply_to == "CLUSTER":
            fold_http_options(message)
            leave_source_open(message)
            return checked(Kind.CDS, message)
        return self._at_home(checked(Kind.LDS, message))

    def _at_home(self, content: Envoy) -> Envoy:
        """Return a listener for any address as one for the proxy's: every workload has its own here, not a network."""
        where = content.get("address", {}).get("socket_address", {})
        if where.get("address") not in _ANYWHERE:
            return content
        return {**content, "address": {"socket_address": {**where, "address": self._instance.address}}}


_CONCERNED: Final[Mapping[str, tuple[Kind, ...]]] = {
    "CLUSTER": (Kind.CDS,),
    **dict.fromkeys(("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"), (Kind.RDS, Kind.LDS)),
}
"""Which resources hold what is patched; all else is in listeners."""


def _names(groups: Sequence[Group]) -> frozenset[str]:
    return frozenset(content["name"] for content in each_of(groups))


def _assignments(groups: tuple[Group, ...], clusters: Sequence[Group]) -> tuple[Group, ...]:
    """Return the endpoints of the clusters that still ask for them."""
    asking = {content["name"] for content in each_of(clusters) if content.get("type") == "EDS"}
    if all(content["cluster_name"] in asking for content in each_of(groups)):
        return groups
    return tuple(tuple(one for one in each_of((group,)) if one["cluster_name"] in asking) for group in groups)


def _redirected(resources: Resources, removed: frozenset[str]) -> Resources:
    """Lead nowhere what led to clusters that a patch has removed."""
    if not removed:
        return resources
    return {
        kind: tuple(tuple(_elsewhere(content, removed) for content in each_of((group,))) for group in groups)
        for kind, groups in resources.items()
    }


def _elsewhere(value: Any, removed: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        found = {name: _elsewhere(inner, removed) for name, inner in value.items()}
        if found.get("cluster") in removed if isinstance(found.get("cluster"), str) else False:
            found["cluster"] = NOWHERE
        for choice in found.get("weighted_clusters", {}).get("clusters", ()):
            choice["name"] = NOWHERE if choice["name"] in removed else choice["name"]
        return found
    if isinstance(value, (list, tuple)):
        return [_elsewhere(inner, removed) for inner in value]
    return value
