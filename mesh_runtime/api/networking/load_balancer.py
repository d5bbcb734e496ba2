"""How the next instance is chosen: DestinationRule's ``loadBalancer``, and MeshConfig's part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Many, Refusals, Spec, repeated, text
from mesh_runtime.api.values import Duration, HeaderName, label_key, label_value

Simple = Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"]
"""``LEAST_CONN`` is the old name of ``LEAST_REQUEST``, which is what ``UNSPECIFIED`` means.

``PASSTHROUGH`` asks for the address that the caller dialled. Callers dial their own proxy, never an address of
the service, so there is none: the choice is made as if nothing were said.
"""
NoTime = Literal["0s"]
"""No time at all, where that has a meaning of its own."""
RingSize = Annotated[int, Field(ge=0, le=8 * 1024 * 1024)]
"""0: as where nothing is said."""

TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
"""The labels that stand for the three parts of a locality."""

_COOKIE_TEXT = re.compile(r"[^\x00-\x1f\x7f;]*")
_PLACE = re.compile(r"[^/*\s]+(/[^/*\s]+){0,2}")
_PATTERN = re.compile(r"\*|[^/*\s]+(/[^/*\s]+){0,1}(/\*)?|[^/*\s]+(/[^/*\s]+){2}")


def _cookie_text(value: str) -> str | None:
    return None if _COOKIE_TEXT.fullmatch(value) else f"{quoted(value)} cannot be part of a cookie"


def _place(value: str) -> str | None:
    return None if _PLACE.fullmatch(value) else f"{quoted(value)} is not a locality"


def _pattern(value: str) -> str | None:
    return None if _PATTERN.fullmatch(value) else f"{quoted(value)} is neither a locality nor a pattern of localities"


def _region(value: str) -> str | None:
    return None if _PLACE.fullmatch(value) and "/" not in value else f"{quoted(value)} is not a region"


def _priority_label(value: str) -> str | None:
    key, _, wanted = value.partition("=")
    return label_key(key) or label_value(wanted)


CookieText = Annotated[str, Field(max_length=1024), AfterValidator(text(_cookie_text, "leave out ';'"))]
Locality = Annotated[str, AfterValidator(text(_place, "write region, region/zone or region/zone/subzone"))]
LocalityPattern = Annotated[
    str, AfterValidator(text(_pattern, "write region/zone/subzone, or the first parts of it, or * as the last one"))
]
Region = Annotated[str, AfterValidator(text(_region, "name a region, without zone and *"))]
PriorityLabel = Annotated[str, AfterValidator(text(_priority_label, "write a label's key, or key=value"))]


class CookieAttribute(Spec):
    """A further attribute of a cookie that is made, such as ``SameSite``."""

    name: HeaderName
    value: CookieText = ""


class HTTPCookie(Spec):
    """A cookie to hash; made where a ttl is given and the request has none (``0s``: for the browser's session)."""

    name: HeaderName
    path: CookieText = ""
    ttl: Duration | NoTime | None = None
    attributes: Many[CookieAttribute] = ()

    def flaws(self) -> Iterator[Flaw]:
        """An attribute is there once."""
        for index, name in repeated([attribute.name for attribute in self.attributes]):
            yield Flaw(("attributes", index, "name"), f"the attribute {name} is there twice", "remove one")


class RingHash(Spec):
    """Ketama."""

    minimum_ring_size: RingSize = 1024


class MagLev(Spec):
    """Google's Maglev; the size must be a prime."""

    table_size: Annotated[int, Field(ge=3, le=5_000_011)] = 65_537

    def flaws(self) -> Iterator[Flaw]:
        """Envoy needs a prime."""
        size = self.table_size
        if any(size % factor == 0 for factor in range(2, int(size**0.5) + 1)):
            yield Flaw(("tableSize",), f"{size} is not a prime number", "use one, such as 65537")


class ConsistentHash(Spec):
    """The same key goes to the same instance."""

    http_header_name: HeaderName | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool = False
    http_query_parameter_name: str | None = Field(default=None, min_length=1, max_length=256)
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: RingSize = 0
    """The old place of ``ringHash.minimumRingSize``."""

    def flaws(self) -> Iterator[Flaw]:
        """One key, one algorithm."""
        yield from self.one_of("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        yield from self.one_of("ring_hash", "maglev", "minimum_ring_size", needed=False)


class Distribute(Spec):
    """Where the requests of callers in some localities go, in percent."""

    from_: LocalityPattern = Field(alias="from")
    to: Annotated[dict[LocalityPattern, Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)]

    def flaws(self) -> Iterator[Flaw]:
        """Everything goes somewhere, once."""
        total = sum(self.to.values())
        if total != 100:
            yield Flaw(("to",), f"adds up to {total}", "make it 100")
        for later, earlier in _overlaps(list(self.to)):
            yield Flaw(("to", later), f"overlaps with {earlier}", "remove one of them")


class Failover(Spec):
    """Where callers of a region turn when nothing in it is well."""

    from_: Region = Field(alias="from")
    to: Region

    def flaws(self) -> Iterator[Flaw]:
        """A region is no refuge from itself."""
        if self.from_ == self.to:
            yield Flaw(("to",), f"is {self.to} as well", "name another region")


class LocalityLbSetting(Spec):
    """How near instances are preferred. Failover needs outlier detection: without it nothing is known to be ill."""

    distribute: Many[Distribute] = ()
    failover: Many[Failover] = ()
    failover_priority: Many[PriorityLabel] = ()
    enabled: bool = True

    def flaws(self) -> Iterator[Flaw]:
        """Shares or order, not both; each caller is spoken of once."""
        if self.distribute and self.failover:
            yield Flaw((), "distribute and failover exclude each other", "keep one of them")
        if self.failover and any(label.partition("=")[0] in TOPOLOGY for label in self.failover_priority):
            yield Flaw(("failoverPriority",), "has a label of the locality beside failover", "remove one of them")
        callers = [one.from_ for one in self.distribute]
        for later, earlier in _overlaps(callers):
            at = ("distribute", callers.index(later), "from")
            yield Flaw(at, f"{later} overlaps with {earlier}", "remove one of them")
        for index, label in repeated([label.partition("=")[0] for label in self.failover_priority]):
            yield Flaw(("failoverPriority", index), f"{label} is there twice", "remove one")


class ZoneAwareLbSetting(Spec):
    """As much as possible stays in the caller's zone, while every endpoint of its region gets the same."""

    enabled: bool = True
    failover: Many[Failover] = ()
    failover_priority: Many[PriorityLabel] = ()
    min_cluster_size: Annotated[int, Field(ge=1, le=2**32 - 1)] = 6
    """With fewer endpoints in the caller's region, zones make no difference."""

    def flaws(self) -> Iterator[Flaw]:
        """Regions and zones are taken care of."""
        for index, label in repeated([label.partition("=")[0] for label in self.failover_priority]):
            yield Flaw(("failoverPriority", index), f"{label} is there twice", "remove one")
        for index, written in enumerate(self.failover_priority):
            if written.partition("=")[0] in TOPOLOGY:
                yield Flaw(("failoverPriority", index), f"{written} is preferred in any case", "remove it")


class Warmup(Spec):
    """How a new instance gets its share little by little."""

    duration: Duration
    minimum_percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 10.0
    aggression: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1.0
    """1: in proportion to its age; more: faster at first."""


class LoadBalancer(Spec):
    """Which instance is next."""

    never: ClassVar[Refusals] = MappingProxyType(
        {"backendUtilization": ("no release of Istio looks at it", "use simple: LEAST_REQUEST")}
    )

    simple: Simple | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    """The old form of ``warmup``, which is obeyed where both are there."""
    warmup: Warmup | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One algorithm, and one idea of what is near."""
        yield from self.one_of("simple", "consistent_hash", needed=False)
        yield from self.one_of("locality_lb_setting", "zone_aware_lb_setting", needed=False)


def _overlaps(patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Find patterns that some locality fits as well as an earlier one."""
    for index, pattern in enumerate(patterns):
        earlier = next((one for one in patterns[:index] if _covers(one, pattern) or _covers(pattern, one)), None)
        if earlier is not None:
            yield pattern, earlier


def _covers(wide: str, narrow: str) -> bool:
    parts = [part for part in wide.split("/") if part != "*"]
    return narrow.split("/")[: len(parts)] == parts
