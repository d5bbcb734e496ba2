"""Scalars of AuthorizationPolicy: what Istio allows as a value of each attribute."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import text

ANY_SEGMENT: Final = "{*}"
ANY_SEGMENTS: Final = "{**}"
EXPERIMENTAL: Final = "experimental."
MAX_NAME: Final = 320
"""Names become regular expressions, of which Envoy takes none that is big."""
_SEGMENT = re.compile(r"[a-zA-Z0-9._~%!$&'()+,;:@=-]+")
_HEADER = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ACCOUNT = re.compile(r"(?:[^/*\s]+/)?[^/*\s]+")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")

Check = Callable[[str], str | None]


def ip_block(value: str) -> str | None:
    """Complain about what is neither an IP address nor a CIDR range."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"{quoted(value)} is neither an IP address nor a range such as 10.0.0.0/8"
    prefix = value.partition("/")[2]
    return None if not prefix or prefix.isdecimal() else f"{quoted(value)} has no number after the /"


def port(value: str) -> str | None:
    """Complain about what is not a port number."""
    if value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) <= 65535:
        return None
    return f"{quoted(value)} is not a port number"


def is_template(value: str) -> bool:
    """Tell whether a path has variable segments."""
    return ANY_SEGMENT in value or ANY_SEGMENTS in value


def request_path(value: str) -> str | None:
    """Complain about braces that are no template, and templates that Envoy could not read."""
    template = is_template(value)
    ended = False
    for segment in value.strip("/").split("/"):
        if segment in (ANY_SEGMENT, ANY_SEGMENTS):
            if ended:
                return f"{quoted(value)}: nothing variable may follow {ANY_SEGMENTS}"
            ended = segment == ANY_SEGMENTS
        elif "{" in segment or "}" in segment:
            return f"{quoted(value)}: a brace is only allowed in {ANY_SEGMENT} and {ANY_SEGMENTS}, as a whole segment"
        elif template and not _SEGMENT.fullmatch(segment):
            return f"{quoted(value)}: the segment {quoted(segment)} is not plain text"
    return f"{quoted(value)} does not begin with /" if template and not value.startswith("/") else None


def service_account(value: str) -> str | None:
    """Complain about what is neither ``name`` nor ``namespace/name``."""
    if len(value) <= MAX_NAME and _ACCOUNT.fullmatch(value):
        return None
    return f"{quoted(value)} is neither a service account nor namespace/service-account"


def trust_domain(value: str) -> str | None:
    """Complain about what is not a trust domain with at most one ``*`` at an end."""
    if len(value) > MAX_NAME or "/" in value or "*" in value[1:-1] or value.count("*") > 1:
        return f"{quoted(value)} is not a trust domain with at most one * at its beginning or end"
    return None


def filled(value: str) -> str | None:
    """Complain about nothing."""
    return None if value else "is empty"


def name(value: str) -> str | None:
    """Complain about what cannot be a namespace or principal, nor a pattern of one."""
    return None if 0 < len(value) <= MAX_NAME else f"{quoted(value)} does not have 1 to {MAX_NAME} characters"


def claim_path(bracketed: str) -> tuple[str, ...]:
    """Read ``[a][b]``; a name may hold brackets of its own where it is the only one. Empty: it cannot be read."""
    found = _BRACKETED.findall(bracketed)
    if "".join(f"[{name}]" for name in found) == bracketed:
        return tuple(found) if all(found) else ()
    inner = bracketed[1:-1]
    return (inner,) if bracketed.startswith("[") and bracketed.endswith("]") and inner else ()


_PLAIN: dict[str, Check] = {
    "source.ip": ip_block,
    "remote.ip": ip_block,
    "source.namespace": name,
    "source.serviceAccount": service_account,
    "source.principal": name,
    "source.trustDomain": trust_domain,
    "request.auth.principal": filled,
    "request.auth.audiences": filled,
    "request.auth.presenter": filled,
    "destination.ip": ip_block,
    "destination.port": port,
    "connection.sni": filled,
}
_KEYED: Sequence[str] = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")


def condition_key(value: str) -> str | None:
    """Complain about an attribute that Istio does not have."""
    if value in _PLAIN:
        return None
    family = next((known for known in _KEYED if value.startswith(known)), "")
    if not family:
        return f"{quoted(value)} is not an attribute; there are {', '.join([*_PLAIN, *(f'{k}[…]' for k in _KEYED)])}"
    rest = value.removeprefix(family)
    owner, bracket, _ = rest.partition("[")
    keys = claim_path(rest[len(owner) :])
    if not bracket or not keys or bool(owner) != family.endswith("."):
        return f"{quoted(value)} must be written {family}{'name' if family.endswith('.') else ''}[key]"
    if family == "request.headers" and not _HEADER.fullmatch(rest[1:-1]):
        return f"{quoted(rest[1:-1])} is not a header name"
    return None


def condition_values(key: str, values: Iterable[str]) -> str | None:
    """Complain about the first value that does not fit an attribute."""
    check = _PLAIN.get(key, filled)
    return next((complaint for complaint in map(check, values) if complaint), None)


_Text = Annotated[str, Field(min_length=1, max_length=4096)]
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Value = _Text
Name = _Name
"""A namespace or principal, or a pattern of one."""
IpBlock = Annotated[_Text, AfterValidator(text(ip_block))]
PortNumber = Annotated[_Text, AfterValidator(text(port, "write a number from 0 to 65535 in quotes"))]
RequestPath = Annotated[_Text, AfterValidator(text(request_path))]
ServiceAccountName = Annotated[_Text, AfterValidator(text(service_account))]
TrustDomainName = Annotated[_Name, AfterValidator(text(trust_domain))]
ConditionKey = Annotated[_Text, AfterValidator(text(condition_key))]
