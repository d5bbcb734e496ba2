"""RequestAuthentication: whose tokens are believed, and where they are found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from mesh_runtime.api.problems import quoted
from mesh_runtime.api.security.keys import is_usable
from mesh_runtime.api.security.targets import Targeted
from mesh_runtime.api.spec import Flaw, Many, Refusals, Spec, text
from mesh_runtime.api.values import Duration, HeaderName, address, dns_name, one_line

_URI = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""RFC 3986's characters."""


class Issuer(NamedTuple):
    """What is known of an issuer of tokens that is asked itself where its keys are."""

    name: str
    keys_uri: str = ""
    """Where its keys are fetched; ``""``: that is not known."""
    trouble: str = ""
    """Why not."""


class KeysAddress(NamedTuple):
    """Where keys are fetched."""

    host: str
    port: int
    tls: bool


def keys_address(uri: str) -> KeysAddress | None:
    """Read a ``jwksUri``; ``None``: it is not an address of keys."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    port = {"http": 80, "https": 443}.get(parts.scheme, 0) if port is None else port
    host = parts.hostname or ""
    named = dns_name(host) is None or address(host) is None
    plain = _URI.fullmatch(uri) and "@" not in parts.netloc
    return KeysAddress(host, port, parts.scheme == "https") if named and port and plain else None


def _uri(value: str) -> str | None:
    return None if keys_address(value) else f"{quoted(value)} is not an http or https address"


def _jwks(value: str) -> str | None:
    try:
        read: Any = json.loads(value)
    except (ValueError, RecursionError):
        return "is not JSON"
    keys = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) and key.get("kty") for key in keys):
        return 'is not a key set {"keys": [{"kty": …}]}'
    return None if any(map(is_usable, keys)) else "has no key that can verify a signature"


_Name = Annotated[str, Field(min_length=1)]


class JWTHeader(Spec):
    """A header that carries a token, after a prefix."""

    name: HeaderName
    prefix: Annotated[str, AfterValidator(text(one_line))] = ""


class ClaimToHeader(Spec):
    """A claim that the application gets as a header; ``a.b`` is a claim in a claim."""

    header: HeaderName
    claim: _Name


class JWTRule(Spec):
    """An issuer of tokens and its keys. Without places of its own: ``Authorization: Bearer`` and ``access_token``."""

    spellings: ClassVar[Mapping[str, str]] = MappingProxyType({"jwks_uri": "jwksUri"})
    never: ClassVar[Refusals] = MappingProxyType(
        {
            "presence": (
                "no release of Istio looks at it, so that requests without a token would pass",
                'deny them by an AuthorizationPolicy with notRequestPrincipals: ["*"]',
            )
        }
    )

    issuer: str = ""
    audiences: Many[_Name] = ()
    """Any of them will do."""
    jwks_uri: Annotated[str, AfterValidator(text(_uri))] = ""
    jwks: Annotated[str, AfterValidator(text(_jwks, "write the issuer's public keys as a JWKS"))] = ""
    from_headers: Many[JWTHeader] = ()
    from_params: Many[_Name] = ()
    from_cookies: Many[_Name] = ()
    output_payload_to_header: HeaderName | None = None
    output_claim_to_headers: Many[ClaimToHeader] = ()
    forward_original_token: bool = False
    timeout: Duration | None = None
    """For fetching keys; 5s."""
    space_delimited_claims: Many[_Name] = ()
    """``scope`` and ``permission`` always are."""

    def flaws(self) -> Iterator[Flaw]:
        """Keys come from one place."""
        if not self.issuer and not self.jwks_uri:
            yield Flaw(("issuer",), "is needed", "write what tokens have as iss")
        if self.jwks and self.jwks_uri:
            yield Flaw(("jwks",), "and jwksUri exclude each other", "keep one of them")

    @property
    def is_discovered(self) -> bool:
        """Whether the issuer itself is asked where its keys are."""
        return not self.jwks and not self.jwks_uri


class RequestAuthentication(Targeted):
    """Tokens that workloads understand. A request with a bad one is refused; one without any is not."""

    jwt_rules: Annotated[Many[JWTRule], Field(max_length=4096)] = ()
