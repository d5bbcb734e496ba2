"""Scalars of the config API: names, durations, ports, percentages, string matches."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mesh_runtime.api import header_value, regex
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Spec, refused, text

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WILDCARD = re.compile(r"^\*[.-]?")
_PART = re.compile(r"\*[^.]")
_AUTHORITY = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,261}")
_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]+))?(ns|us|µs|ms|s|m|h)")
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def dns_label(value: str) -> str | None:
    """Complain about what is not a DNS label."""
    if len(value) <= 63 and _LABEL.fullmatch(value):
        return None
    return f"{quoted(value)} is not a DNS label"


def dns_name(value: str) -> str | None:
    """Complain about what is not a DNS name."""
    if len(value) <= 253 and value and all(dns_label(label) is None for label in value.split(".")):
        return None
    return f"{quoted(value)} is not a DNS name"


def host(value: str) -> str | None:
    """Complain about what is neither ``*`` nor a DNS name, whose first label may be ``*`` or begin with it."""
    if value == "*" or dns_name(_WILDCARD.sub("", value)) is None:
        return None
    return f"{quoted(value)} is not a host"


def sni_host(value: str) -> str | None:
    """Complain about a host that TLS is not told apart by: there Envoy compares whole labels."""
    return f"{quoted(value)} has * for a part of a label" if _PART.match(value) else None


def address(value: str) -> str | None:
    """Complain about what is not an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"{quoted(value)} is not an IP address"
    return None if "%" not in value else f"{quoted(value)} has a zone"


def subnet(value: str) -> str | None:
    """Complain about what is neither an IP address nor an IP network."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"{quoted(value)} is not an IP network"
    plain = "%" not in value and value.partition("/")[2] in {
        "",
        str(ipaddress.ip_network(value, strict=False).prefixlen),
    }
    return None if plain else f"{quoted(value)} is not an IP network in CIDR notation"


def label_key(value: str) -> str | None:
    """Complain about what cannot be the key of a label or annotation."""
    prefix, slash, name = value.rpartition("/")
    if (not slash or dns_name(prefix) is None) and len(name) <= 63 and _QUALIFIED.fullmatch(name):
        return None
    return f"{quoted(value)} is not a label key"


def label_value(value: str) -> str | None:
    """Complain about what cannot be the value of a label."""
    if not value or (len(value) <= 63 and _QUALIFIED.fullmatch(value)):
        return None
    return f"{quoted(value)} is not a label value"


def service_name(value: str) -> str | None:
    """Complain about what cannot be a Service's name."""
    if len(value) <= 63 and _LABEL_1035.fullmatch(value):
        return None
    return f"{quoted(value)} is not a service name"


def _gateway_name(value: str) -> str | None:
    parts = value.split("/")
    if len(parts) <= 2 and all(dns_name(part) is None for part in parts):
        return None
    return f"{quoted(value)} is not the name of a gateway"


def _gateway_host(value: str) -> str | None:
    namespace, slash, name = value.rpartition("/")
    if slash and namespace not in ("*", ".") and dns_label(namespace):
        return f"{quoted(namespace)} is not a namespace"
    return host(name)


def header_name(value: str) -> str | None:
    """Complain about what cannot be a header's name."""
    if len(value) <= 256 and _TOKEN.fullmatch(value):
        return None
    return f"{quoted(value)} is not a header name"


def _operated_header(value: str) -> str | None:
    return None if value == ":authority" else header_name(value)


def _header_value(value: str) -> str | None:
    found = header_value.complaint(value)
    return f"{quoted(value)} {found}" if found else None


def _labels(value: dict[str, str]) -> dict[str, str]:
    for key, item in value.items():
        complaint = label_key(key) or label_value(item)
        if complaint:
            raise refused(complaint, "use letters, digits, '-', '_' and '.', at most 63 of them")
    return value


def one_line(value: str) -> str | None:
    """Complain about line breaks."""
    return "has a line break" if set(value) & set("\r\n\0") else None


def _c_string(value: str) -> str | None:
    return "holds a character that ends it" if "\0" in value else None


_LOWER = "use lower-case letters, digits and '-', beginning and ending with a letter or digit"
DnsLabel = Annotated[str, AfterValidator(text(dns_label, _LOWER))]
DnsName = Annotated[str, AfterValidator(text(dns_name, _LOWER + ", in parts joined by '.'"))]
Host = Annotated[str, AfterValidator(text(host, "write a DNS name, or * alone or at its beginning"))]
SniHost = Annotated[Host, AfterValidator(text(sni_host, "write *. before a domain"))]
GatewayName = Annotated[str, AfterValidator(text(_gateway_name, "write mesh, name or namespace/name"))]
GatewayHost = Annotated[str, AfterValidator(text(_gateway_host, "write host or namespace/host"))]
HeaderName = Annotated[str, AfterValidator(text(header_name, "use letters, digits and '-'"))]
OperatedHeader = Annotated[str, AfterValidator(text(_operated_header, "use letters, digits and '-'"))]
HeaderValue = Annotated[
    str, AfterValidator(text(_header_value, "write it in one line, with %% for a percent sign (%NAME% is Envoy's)"))
]
Subnet = Annotated[str, AfterValidator(text(subnet, "write it like 10.1.0.0/16"))]
Regex = Annotated[str, AfterValidator(text(regex.complaint, "write it in RE2's syntax"))]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
Port = Annotated[int, Field(ge=1, le=65535)]
CString = Annotated[str, AfterValidator(text(_c_string))]
"""What a process gets as an argument, or as a variable of its environment."""
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Duration(str):
    """A span of time as the manifest writes it: ``5s``, ``1h30m``, ``100ms``. At least 1 ms, in whole ms."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read it; the error is the validator's."""
        ns = _nanoseconds(value)
        if ns is None:
            raise refused(f"{quoted(value)} is not a duration", "write it like 5s, 1h30m or 100ms")
        if ns < _UNIT_NS["ms"] or ns % _UNIT_NS["ms"]:
            raise refused(f"{quoted(value)} is not a whole number of milliseconds above 0", "use at least 1ms")
        if ns > 10_000 * _UNIT_NS["h"]:
            raise refused(f"{quoted(value)} is longer than 10000h", "shorten it")
        return cls(value)

    @property
    def ms(self) -> int:
        """In milliseconds."""
        return (_nanoseconds(self) or 0) // _UNIT_NS["ms"]

    @property
    def seconds(self) -> float:
        """In seconds."""
        return self.ms / 1000

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema(strict=True))


def in_seconds(value: str) -> str:
    """Return a duration as protobuf writes it: ``1h30m`` as ``5400s``. What is none stays as it is."""
    ns = _nanoseconds(value)
    if ns is None:
        return value
    whole, rest = divmod(ns, _UNIT_NS["s"])
    return f"{whole}.{rest:09}s" if rest else f"{whole}s"


def _nanoseconds(value: str) -> int | None:
    if not value or len(value) > 40:
        return None
    total = at = 0
    while at < len(value):
        amount = _AMOUNT.match(value, at)
        if amount is None:
            return None
        whole, fraction, unit = amount.groups(default="")
        total += int(whole + fraction) * _UNIT_NS[unit] // 10 ** len(fraction)
        at = amount.end()
    return total


class Percent(Spec):
    """A share, 0 to 100."""

    value: float = Field(default=0.0, ge=0, le=100, allow_inf_nan=False)

    @property
    def millionths(self) -> int:
        """As Envoy counts: of 1,000,000."""
        return round(self.value * 10_000)


class StringMatch(Spec):
    """How a string is compared. Nothing set: whatever it is, it is there (headers and query parameters)."""

    exact: str | None = None
    prefix: str | None = Field(default=None, min_length=1)
    regex: Regex | None = None

    def flaws(self) -> Iterator[Flaw]:
        """At most one way of comparing."""
        yield from self.one_of("exact", "prefix", "regex", needed=False)


def _authority(value: str) -> str | None:
    return None if _AUTHORITY.fullmatch(value) else f"{quoted(value)} is not a host with or without a port"


Authority = Annotated[str, AfterValidator(text(_authority))]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


AnyCase = BeforeValidator(_upper)
"""Written in any case; the canonical form has capitals."""


def _number_or_name(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refused("must be a port's number or name")
    if isinstance(value, int) and not 1 <= value <= 65535:
        raise refused(f"{value} is not a port number", "use 1 to 65535")
    if isinstance(value, str) and (len(value) > 15 or dns_label(value)):
        raise refused(f"{quoted(value)} is not a port name", "use at most 15 lower-case letters, digits and '-'")
    return value


NumberOrName = Annotated[Any, BeforeValidator(_number_or_name)]
"""``int | str``: a port's number or name."""
