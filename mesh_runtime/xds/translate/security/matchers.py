"""Envoy's matchers for the values of security policies, where ``*`` stands at one end or alone."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from mesh_runtime.api.security.conditions import ANY_SEGMENT, ANY_SEGMENTS, is_template
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy

JWT_FILTER: Final = "envoy.filters.http.jwt_authn"
JWT_PAYLOAD: Final = "payload"
"""The key of a token's claims in the filter's metadata."""

SOMETHING: Final[Envoy] = {"safe_regex": {"regex": ".+"}}


def string(value: str, *, ignore_case: bool = False) -> Envoy:
    """Match a string; ``*`` is any that is not empty."""
    case = {"ignore_case": True} if ignore_case else {}
    if value == "*":
        return SOMETHING
    if value.startswith("*"):
        return {"suffix": value[1:], **case}
    if value.endswith("*"):
        return {"prefix": value[:-1], **case}
    return {"exact": value, **case}


def regex(pattern: str) -> Envoy:
    """Match the whole of a string."""
    return {"safe_regex": {"regex": pattern}}


def wildcard(value: str, one: str) -> str:
    """Return a pattern in which each ``*`` stands for *one*."""
    return one.join(map(re.escape, value.split("*")))


def spiffe(principal: str) -> Envoy:
    """Match a SPIFFE id, of which policies leave out the scheme."""
    if principal != "*" and principal.startswith("*"):
        return regex("spiffe://.*" + re.escape(principal[1:]))
    found = string(principal)
    return {name: f"spiffe://{value}" for name, value in found.items()} if principal != "*" else found


def header(name: str, value: str, *, ignore_case: bool = False) -> Envoy:
    """Match a request's header; ``*``: it is there."""
    if value == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string(value, ignore_case=ignore_case)}


def header_of(name: str, value: str) -> Envoy:
    """Return the permission or principal for a request's header."""
    return {"header": header(name, value)}


def cidr(block: str) -> Envoy:
    """Return a range of addresses."""
    network = ipaddress.ip_network(block, strict=False)
    return {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}


def path(value: str) -> Envoy:
    """Return the permission for a path, or for all paths of a template."""
    if not is_template(value):
        return {"url_path": {"path": string(value)}}
    template = value.replace(ANY_SEGMENTS, "**").replace(ANY_SEGMENT, "*")
    config = any_of("envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", path_template=template)
    return {"uri_template": {"name": "uri-template", "typed_config": config}}


def metadata(namespace: str, keys: Sequence[str], value: Envoy) -> Envoy:
    """Match what a filter has left about a request or connection."""
    found = {"filter": namespace, "path": [{"key": key} for key in keys], "value": value}
    return {"sourced_metadata": {"metadata_matcher": found}}


def claim(keys: Sequence[str], matcher: Envoy) -> Envoy:
    """Match a claim of the request's token: the claim itself, or one of its list."""
    alone = {"string_match": matcher}
    either = {"or_match": {"value_matchers": [{"list_match": {"one_of": alone}}, alone]}}
    return metadata(JWT_FILTER, (JWT_PAYLOAD, *keys), either)


def request_principal(value: str) -> Envoy:
    """Match a token's ``iss/sub``."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        issuer = subject = "*"
    elif not slash:
        # Istio's reading of what has no slash: a suffix is the subject's, anything else the issuer's.
        issuer, subject = ("*", value) if value.startswith("*") else (value, "*" if value.endswith("*") else "")
    elif value.startswith("*"):
        return _both(string(issuer), {"exact": subject})
    else:
        return _both({"exact": issuer}, string(subject) if subject.endswith("*") else {"exact": subject})
    return _both(string(issuer), string(subject))


def _both(issuer: Envoy, subject: Envoy) -> Envoy:
    found = (("iss", issuer), ("sub", subject))
    ids = [metadata(JWT_FILTER, (JWT_PAYLOAD, name), {"string_match": matcher}) for name, matcher in found]
    return {"and_ids": {"ids": ids}}
