"""Envoy's access logs: Istio's and Envoy's own text format, JSON, and OpenTelemetry's attributes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from collectors.logs.lines import INSTANT, read, status_level

HEAD = re.compile(r'\[\d{4}-\d\d-\d\dT[\d:.]+Z?\] "[^"]*" \d+ ', re.ASCII)
TEXT = re.compile(
    r'\[(?P<start_time>[^\]]+)\] "(?P<method>\S+) (?P<path>\S*) (?P<protocol>\S+)" (?P<response_code>\d+) '
    r"(?P<response_flags>\S+) "
    r'(?:(?P<response_code_details>[^\s\d"]\S*) [^"]*"(?P<upstream_transport_failure_reason>[^"]*)" )?'
    r"(?P<bytes_received>\d+) (?P<bytes_sent>\d+) (?P<duration>\d+) \S+ "
    r'"[^"]*" "(?P<user_agent>[^"]*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" "(?P<upstream_host>[^"]*)"'
    r"(?: (?P<upstream_cluster>\S+) (?P<upstream_local_address>\S+) (?P<downstream_local_address>\S+) "
    r"(?P<downstream_remote_address>\S+) (?P<requested_server_name>\S+) (?P<route_name>\S+)"
    r'(?: "(?P<traceparent>[^"]*)")?)?',
    re.ASCII,
)
"""Istio's format, also with the trace behind it, and Envoy's, which lacks some of it. No part of it can be read in two ways."""
SIGNS = frozenset({"upstream_cluster", "upstream_host", "downstream_local_address", "response_flags"})
"""Fields that only access logs have; with a response code beside one of them a record is one."""
VALUE_CHARS = 2048


class Access(NamedTuple):
    """One request, or one connection, as a proxy logged it. What is not known is empty."""

    at_ns: int
    """When it began; 0: not told."""
    method: str = ""
    path: str = ""
    protocol: str = ""
    code: str = ""
    """``0``: no response, or no HTTP."""
    grpc: str = ""
    flags: str = ""
    """Envoy's response flags; empty where there are none."""
    details: str = ""
    duration_ms: float = 0.0
    received: int = 0
    """Bytes from the caller."""
    sent: int = 0
    authority: str = ""
    request_id: str = ""
    trace_id: str = ""
    user_agent: str = ""
    route: str = ""
    upstream_cluster: str = ""
    upstream_host: str = ""
    downstream_local: str = ""
    downstream_remote: str = ""
    peer: str = ""
    """The caller's SPIFFE id, where its certificate was seen."""

    @property
    def failed(self) -> bool:
        """Whether the caller got an error: 5xx, no response, a gRPC status other than 0, a broken connection."""
        if self.grpc not in {"", "0"} or self.code.startswith("5"):
            return True
        return self.code in {"", "0"} and (bool(self.flags) or bool(self.method))


def is_access(text: str) -> bool:
    """Whether a line of a proxy's output is about a request or connection."""
    return bool(HEAD.match(text)) or (text.startswith("{") and '"response_code"' in text)


def of_line(text: str) -> Access | None:
    """Read a line; ``None``: it is none, or in a format of somebody's own."""
    if text.startswith("{"):
        try:
            fields = orjson.loads(text)
        except ValueError:
            return None
        return of_fields(fields) if isinstance(fields, dict) else None
    match = TEXT.match(text)
    return of_fields({name: value for name, value in match.groupdict().items() if value is not None}) if match else None


def of_fields(fields: Mapping[str, Any]) -> Access | None:
    """Read the fields of Istio's JSON format, by whatever way they came; ``None``: it is no access log."""
    if "response_code" not in fields or SIGNS.isdisjoint(fields):
        return None

    def said(*names: str) -> str:
        found = next((fields[name] for name in names if fields.get(name) not in (None, "", "-")), "")
        return str(found)[:VALUE_CHARS]

    start = said("start_time")
    told = read(f'{{"time":"{start}"}}', _LATEST) if INSTANT.match(start) else None
    return Access(
        at_ns=told.at_ns if told else 0,
        method=said("method"),
        path=said("path"),
        protocol=said("protocol"),
        code=said("response_code") or "0",
        grpc=said("grpc_status", "grpc_status_number"),
        flags=said("response_flags"),
        details=said("response_code_details"),
        duration_ms=_number(said("duration")),
        received=int(_number(said("bytes_received"))),
        sent=int(_number(said("bytes_sent"))),
        authority=said("authority"),
        request_id=said("request_id"),
        trace_id=_trace_id(said("trace_id", "traceparent")),
        user_agent=said("user_agent"),
        route=said("route_name"),
        upstream_cluster=said("upstream_cluster"),
        upstream_host=said("upstream_host"),
        downstream_local=said("downstream_local_address"),
        downstream_remote=said("downstream_remote_address"),
        peer=said("downstream_peer_uri_san", "source_principal"),
    )


_LATEST = 4 * 10**18


def level(access: Access | None) -> str:
    """Return how bad it is, in the words of a log; ``""``: not known."""
    if access is None:
        return ""
    if access.failed:
        return "error"
    return status_level(access.code) if access.code not in {"", "0"} else "info"


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 2.0**53)
    except ValueError:
        return 0.0


def _trace_id(text: str) -> str:
    found = text.split("-")[1] if text.count("-") == 3 else text
    return found.lower() if len(found) == 32 and all(one in "0123456789abcdefABCDEF" for one in found) else ""
