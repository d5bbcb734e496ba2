"""Which requests a VirtualService's HTTP rule is for, as Envoy tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh_runtime.api.networking import HTTPMatchRequest
from mesh_runtime.api.networking.http_match import ANYTHING, claim_path
from mesh_runtime.api.values import StringMatch
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.security.matchers import JWT_FILTER, JWT_PAYLOAD

EVERY_PATH: Envoy = {"prefix": "/"}


def route_match(match: HTTPMatchRequest) -> Envoy:
    """Return a match of Envoy's, without what is known before a request comes."""
    built = dict(_path(match))
    headers = sorted(_headers(match), key=lambda header: header["name"])
    pseudo = {":method": match.method, ":authority": match.authority, ":scheme": match.scheme}
    headers += [{"name": name, **_compared(wanted)} for name, wanted in pseudo.items() if wanted is not None]
    if headers:
        built["headers"] = headers
    if match.query_params:
        built["query_parameters"] = [{"name": name, **_compared(wanted)} for name, wanted in match.query_params.items()]
    claims = list(_claims(match))
    if claims:
        built["dynamic_metadata"] = claims
    return built


def catches_all(route: Envoy) -> bool:
    """Tell whether no request gets past a route to those behind it."""
    match = dict(route["match"])
    return match in (EVERY_PATH, {"safe_regex": {"regex": ".*"}})


def string_match(wanted: StringMatch) -> Envoy:
    """Return a match of Envoy's for a comparison that is set."""
    if wanted.regex is not None:
        return {"safe_regex": {"regex": wanted.regex}}
    return {"exact": wanted.exact} if wanted.exact is not None else {"prefix": wanted.prefix}


def _path(match: HTTPMatchRequest) -> Envoy:
    uri = match.uri
    if uri is None or not uri.model_fields_set:
        return EVERY_PATH
    if uri.regex is not None:
        return {"safe_regex": {"regex": uri.regex}}
    path = {"path": uri.exact} if uri.exact is not None else {"prefix": uri.prefix}
    return {**path, **({"case_sensitive": False} if match.ignore_uri_case else {})}


def _headers(match: HTTPMatchRequest) -> Iterator[dict[str, Any]]:
    for name, wanted in match.headers.items():
        if not claim_path(name):
            yield {"name": name, **_compared(wanted)}
    for name, unwanted in match.without_headers.items():
        if not claim_path(name):
            compared = _compared(unwanted)
            # A header that is not there is unlike any text, unless the text may be empty.
            missing = {} if "present_match" in compared else {"treat_missing_header_as_empty": True}
            yield {"name": name, **compared, "invert_match": True, **missing}


def _compared(wanted: StringMatch) -> Envoy:
    return {"present_match": True} if _is_anything(wanted) else {"string_match": string_match(wanted)}


def _is_anything(wanted: StringMatch) -> bool:
    return not wanted.model_fields_set or wanted.regex == ANYTHING


def _claims(match: HTTPMatchRequest) -> Iterator[Envoy]:
    for wanted, options in ((match.headers, {}), (match.without_headers, {"invert": True})):
        assert isinstance(wanted, Mapping)
        for name, value in wanted.items():
            if claim_path(name):
                path = [{"key": key} for key in (JWT_PAYLOAD, *claim_path(name))]
                yield {"filter": JWT_FILTER, "path": path, "value": _claim(value), **options}


def _claim(wanted: StringMatch) -> Envoy:
    """Match a claim: the text itself, or one of a list."""
    if _is_anything(wanted):
        return {"present_match": True}
    text = {"string_match": string_match(wanted)}
    return {"or_match": {"value_matchers": [{"list_match": {"one_of": text}}, text]}}
