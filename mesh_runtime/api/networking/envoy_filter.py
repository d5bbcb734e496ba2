"""EnvoyFilter: changes to the resources that proxies are given, in Envoy's own terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from pydantic import AfterValidator, Field

from mesh_runtime.api import regex
from mesh_runtime.api.security.targets import PolicyTargetReference
from mesh_runtime.api.spec import Flaw, Many, Refusals, Spec, refusing, text
from mesh_runtime.api.values import Labels, Port, in_seconds
from mesh_runtime.xds import constraints, protos

MANAGER: Final = "envoy.filters.network.http_connection_manager"
ROUTER: Final = "envoy.filters.http.router"
_OLD_MANAGER: Final = "envoy.http_connection_manager"
_HCM: Final = "envoy.extensions.filters.network.http_connection_manager.v3"
MESSAGES: Final[Mapping[str, str]] = {
    "CLUSTER": protos.CLUSTER,
    "LISTENER": protos.LISTENER,
    "LISTENER_FILTER": "envoy.config.listener.v3.ListenerFilter",
    "FILTER_CHAIN": "envoy.config.listener.v3.FilterChain",
    "NETWORK_FILTER": "envoy.config.listener.v3.Filter",
    "HTTP_FILTER": f"{_HCM}.HttpFilter",
    "ROUTE_CONFIGURATION": protos.ROUTES,
    "VIRTUAL_HOST": "envoy.config.route.v3.VirtualHost",
    "HTTP_ROUTE": "envoy.config.route.v3.Route",
}
"""What a patch's value is, by ``applyTo``."""
_MATCHED_BY: Final = {
    **dict.fromkeys(("LISTENER", "LISTENER_FILTER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER"), "listener"),
    **dict.fromkeys(("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"), "route_configuration"),
    "CLUSTER": "cluster",
}
_NAMED: Final = {
    **dict.fromkeys(("LISTENER_FILTER", "NETWORK_FILTER", "HTTP_FILTER"), "filter"),
    "CLUSTER": "cluster",
    "LISTENER": "listener",
}
_KINDS: Final = {
    "LISTENER_FILTER": ("envoy.extensions.filters.listener.", "envoy.extensions.filters.udp."),
    "NETWORK_FILTER": ("envoy.extensions.filters.network.",),
    "HTTP_FILTER": ("envoy.extensions.filters.http.",),
}
_ELSEWHERE: Final = {
    "EXTENSION_CONFIG": (
        "this runtime does not support an EXTENSION_CONFIG, which proxies would fetch by itself",
        "write the config into the patch of the HTTP_FILTER that names it, as typed_config",
    ),
    "BOOTSTRAP": (
        "this runtime does not support a BOOTSTRAP of one's own: the agent that starts a proxy writes it",
        "patch CLUSTER or LISTENER, which a proxy is given while it runs",
    ),
}
_MERGES: Final = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})
_TYPED_STRUCTS: Final = ("udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct")
_VERSION_LENGTH: Final = 1024
_WRONG_FIELD = re.compile(r'has no field named "([^"]*)"(?: at "([^"]*)")?')
_NO_TYPE = re.compile(r"by type_url: (\S+?)(?: at (\S+))?\.?$")


class SubFilterMatch(Spec):
    """An HTTP filter by its name."""

    name: str = ""


class FilterMatch(Spec):
    """A network filter by its name, and an HTTP filter inside it."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(Spec):
    """A listener's filter chain by what it is for."""

    never: ClassVar[Refusals] = MappingProxyType(
        {"transportSocket": ("no release of Istio looks at it", "match by name, sni or transportProtocol")}
    )

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    """Joined by commas; the chain must have all of them."""
    destination_port: int = Field(default=0, ge=0, le=65535)
    filter: FilterMatch | None = None


class ListenerMatch(Spec):
    """A listener, and something inside it."""

    name: str = ""
    port_number: int = Field(default=0, ge=0, le=65535)
    port_name: str = ""
    listener_filter: str = ""
    filter_chain: FilterChainMatch | None = None


class RouteMatch(Spec):
    """A route by its name and what it does."""

    name: str = ""
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(Spec):
    """A virtual host by its name or one of its domains."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(Spec):
    """A route configuration, and something inside it."""

    name: str = ""
    port_number: int = Field(default=0, ge=0, le=65535)
    port_name: str = ""
    gateway: str = ""
    """``namespace/name`` of the Gateway it was made for."""
    vhost: VirtualHostMatch | None = None


class ClusterMatch(Spec):
    """A cluster by what it leads to. A name excludes the rest."""

    name: str = ""
    service: str = ""
    subset: str = ""
    port_number: int = Field(default=0, ge=0, le=65535)


def _version(pattern: str) -> str | None:
    if len(pattern) > _VERSION_LENGTH:
        return None
    return regex.complaint(pattern)


class ProxyMatch(Spec):
    """A proxy by what it says of itself."""

    proxy_version: Annotated[str, AfterValidator(text(_version, "write it in RE2's syntax"))] = ""
    metadata: dict[str, str] = Field(default_factory=dict)

    def matches(self, version: str, metadata: Mapping[str, str]) -> bool:
        """Tell whether it is such a proxy. A pattern of more than 1024 characters matches none, as in Istio."""
        wanted = self.proxy_version
        if wanted and (len(wanted) > _VERSION_LENGTH or not re.search(wanted, version)):
            return False
        return all(metadata.get(name) == value for name, value in self.metadata.items())


class WaypointFilterMatch(Spec):
    """A filter of a waypoint."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class WaypointRouteMatch(Spec):
    """A route of a waypoint."""

    name: str = ""


class WaypointMatch(Spec):
    """Something of a waypoint."""

    port_number: Port | None = None
    route: WaypointRouteMatch | None = None
    filter: WaypointFilterMatch | None = None


class ConfigMatch(Spec):
    """Which proxies, which direction, and what there."""

    context: Annotated[
        Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"],
        refusing(
            {
                "WAYPOINT": (
                    "this runtime does not support waypoints: each workload has its proxy",
                    "use SIDECAR_INBOUND",
                )
            }
        ),
    ] = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One object is matched."""
        yield from self.one_of("listener", "route_configuration", "cluster", "waypoint", needed=False)
        if self.waypoint is not None:
            yield Flaw(("waypoint",), "goes with the context WAYPOINT only", "remove it")


class Patch(Spec):
    """What is done. The value is a part of Envoy's API, as JSON."""

    operation: Literal[
        "MERGE", "MERGE_AND_REPLACE_LIST", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"
    ]
    value: dict[str, Any] | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"
    """Has no effect, as in Istio, whose control plane does not read it: the operation says where a filter goes."""

    def flaws(self) -> Iterator[Flaw]:
        """Only a removal needs no value."""
        if self.operation != "REMOVE" and self.value is None:
            yield Flaw(("value",), "is required", "add the part of Envoy's config that the operation is about")


class ConfigPatch(Spec):
    """One change."""

    apply_to: Annotated[
        Literal[
            "CLUSTER",
            "LISTENER",
            "LISTENER_FILTER",
            "FILTER_CHAIN",
            "NETWORK_FILTER",
            "HTTP_FILTER",
            "ROUTE_CONFIGURATION",
            "VIRTUAL_HOST",
            "HTTP_ROUTE",
        ],
        refusing(_ELSEWHERE),
    ]
    match: ConfigMatch = Field(default_factory=ConfigMatch)
    patch: Patch

    @cached_property
    def key(self) -> bytes:
        """The whole patch as text: equal patches are equal keys."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    @cached_property
    def value(self) -> Any:
        """The patch's value as a message of Envoy's API; ``None``: it has none. Nobody may change it."""
        if self.patch.value is None:
            return None
        kind = MESSAGES[self.apply_to]
        # Istio reads patches as Go does.
        return protos.message(kind, protos.with_durations(kind, typed(self.patch.value), in_seconds))

    def flaws(self) -> Iterator[Flaw]:
        """The condition fits what is patched, and Envoy knows the value."""
        yield from self._match_flaws()
        if self._behind_the_router:
            message = "puts an HTTP filter behind the router, where Envoy refuses it"
            yield Flaw(("patch", "operation"), message, "use INSERT_BEFORE or INSERT_FIRST")
        if self.patch.value is not None:
            yield from self._value_flaws()

    @property
    def _behind_the_router(self) -> bool:
        if self.apply_to != "HTTP_FILTER":
            return False
        chain = self.match.listener.filter_chain if self.match.listener else None
        wanted = chain.filter.sub_filter if chain and chain.filter else None
        after = self.patch.operation == "INSERT_AFTER" and (wanted is None or wanted.name == ROUTER)
        return self.patch.operation == "ADD" or after

    def _match_flaws(self) -> Iterator[Flaw]:
        fitting = _MATCHED_BY[self.apply_to]
        for name in self.match.has("listener", "route_configuration", "cluster"):
            if name != fitting:
                wanted = ConfigMatch.model_fields[fitting].alias
                at = str(ConfigMatch.model_fields[name].alias)
                yield Flaw(("match", at), f"does not go with applyTo {self.apply_to}", f"match by {wanted}")
        chain = self.match.listener.filter_chain if self.match.listener else None
        if chain is not None and chain.filter is not None:
            yield from self._filter_flaws(chain.filter)

    def _filter_flaws(self, wanted: FilterMatch) -> Iterator[Flaw]:
        at = ("match", "listener", "filterChain", "filter")
        if not wanted.name:
            yield Flaw((*at, "name"), "is required", "add the name of a network filter")
        elif wanted.sub_filter is not None:
            if self.apply_to != "HTTP_FILTER":
                yield Flaw((*at, "subFilter"), "goes with applyTo HTTP_FILTER only", "remove it")
            elif wanted.name not in {MANAGER, _OLD_MANAGER}:
                yield Flaw((*at, "name"), "has no HTTP filters inside", f"write {MANAGER}")
            elif not wanted.sub_filter.name:
                yield Flaw((*at, "subFilter", "name"), "is required", "add the name of an HTTP filter")

    def _value_flaws(self) -> Iterator[Flaw]:
        at = ("patch", "value")
        try:
            value = self.value
        except protos.ParseError as error:
            where, message, fix = _parse_flaw(str(error))
            yield Flaw((*at, *where), message, fix)
            return
        if self.patch.operation in _MERGES:
            return
        for steps, message in constraints.complaints(value):
            yield Flaw((*at, *steps), f"{message}, by Envoy's API")
        kind = value.typed_config.type_url.rpartition("/")[2] if self.apply_to in _KINDS else ""
        if kind and not kind.startswith(_KINDS[self.apply_to]):
            yield Flaw((*at, "typed_config"), f"{kind} is not a filter of the kind {self.apply_to}", "use one that is")
        if self.apply_to in _NAMED and not value.name:
            yield Flaw((*at, "name"), "is required", f"name the {_NAMED[self.apply_to]}")


class WorkloadLabels(Spec):
    """Workloads that carry all these labels."""

    labels: Labels = Field(default_factory=dict)


class EnvoyFilter(Spec):
    """Changes for the proxies of a namespace; in the root namespace, for all. Lower priorities are applied first."""

    workload_selector: WorkloadLabels | None = None
    target_refs: Annotated[Many[PolicyTargetReference], Field(max_length=16)] = ()
    config_patches: Many[ConfigPatch] = ()
    priority: int = Field(default=0, ge=-(2**31), le=2**31 - 1)

    def flaws(self) -> Iterator[Flaw]:
        """Either labels or references."""
        yield from self.one_of("workload_selector", "target_refs", needed=False)


def typed(value: Any) -> Any:
    """Write a ``TypedStruct`` as the type that it stands for."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("@type", "")).endswith(_TYPED_STRUCTS):
        kind = value.get("type_url", value.get("typeUrl", ""))
        return {"@type": kind, **typed(value.get("value") or {})}
    return {name: typed(item) for name, item in value.items()}


def _parse_flaw(error: str) -> tuple[Sequence[str | int], str, str]:
    """Say what the parser complains about: where, what, and the way out."""
    line = error.splitlines()[0]
    if unknown := _WRONG_FIELD.search(line):
        name, where = unknown[1], _steps(unknown[2])
        return (*where, name), "is not a field of Envoy's API here", "correct its name, or remove it"
    if unknown := _NO_TYPE.search(line):
        kind = unknown[1].rpartition("/")[2]
        fix = "use the v3 API" if ".v2." in kind else "use a type of the Envoy that this runtime brings"
        return _steps(unknown[2]), f"{kind} is not a type of Envoy's API", fix
    steps = re.findall(r"Failed to parse (\S+) field: ", line)
    return steps, re.sub(r"Failed to parse \S+ field: ", "", line)[:200], ""


def _steps(where: str | None) -> tuple[str | int, ...]:
    """Read the parser's path, ``Cluster.loadAssignment.endpoints[0]``, without the message it begins with."""
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", where or "")
    return tuple(int(index) if index else name for index, name in found)[1:]
