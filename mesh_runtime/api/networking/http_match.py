"""Which requests an HTTP rule is for."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from mesh_runtime.api import regex
from mesh_runtime.api.spec import Many, Spec, text
from mesh_runtime.api.values import DnsLabel, GatewayName, Labels, Port, StringMatch, header_name

CLAIMS: Final = "@request.auth.claims"
PSEUDO_HEADERS: Final = frozenset({":method", ":authority", ":path", ":scheme"})
ANYTHING: Final = "*"
"""In place of a regular expression: whatever the value, the header is there."""


def claim_path(name: str) -> tuple[str, ...]:
    """Return the way to a token's claim that a header's name stands for; of an ordinary header, nothing.

    ``@request.auth.claims.group.id`` and ``@request.auth.claims[group][id]`` lead to ``("group", "id")``.
    """
    rest = name[len(CLAIMS) :] if name.lower().startswith(CLAIMS) else ""
    if rest.startswith(".") and len(rest) > 1:
        return tuple(rest[1:].split("."))
    if rest.startswith("[") and rest.endswith("]") and len(rest) > 2:
        return tuple(rest[1:-1].split("]["))
    return ()


def _matched_header(value: str) -> str | None:
    if all(claim_path(value)) and (claim_path(value) or value in PSEUDO_HEADERS):
        return None
    return header_name(value)


def _regex_or_anything(value: str) -> str | None:
    return None if value == ANYTHING else regex.complaint(value)


MatchedHeader = Annotated[
    str,
    AfterValidator(text(_matched_header, f"write a header's name, or {CLAIMS} with the claim, as in {CLAIMS}[iss]")),
]
ParameterName = Annotated[str, Field(min_length=1, max_length=256)]


class UriMatch(StringMatch):
    """How a path is compared. Every path begins with nothing."""

    prefix: str | None = None


class AbsentMatch(StringMatch):
    """What a header must not be; with ``regex: "*"``, or with nothing, it must not be there at all."""

    regex: Annotated[str, AfterValidator(text(_regex_or_anything, "write it in RE2's syntax"))] | None = None


class HTTPMatchRequest(Spec):
    """All that is set must hold."""

    name: str = ""
    uri: UriMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[MatchedHeader, StringMatch] = Field(default_factory=dict)
    without_headers: dict[MatchedHeader, AbsentMatch] = Field(default_factory=dict)
    port: Port | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: Many[GatewayName] = ()
    query_params: dict[ParameterName, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: bool = False
    """Of exact and prefix matches."""
    source_namespace: DnsLabel = ""
    stat_prefix: Annotated[str, Field(max_length=253)] = ""
    """Under which name the proxy counts requests that this match has taken."""

    @property
    def claims(self) -> tuple[str, ...]:
        """The headers' names that stand for claims."""
        return tuple(name for name in (*self.headers, *self.without_headers) if claim_path(name))
