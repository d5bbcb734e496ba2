"""Envoy's format strings (``%REQ(:path)%``), judged as Envoy judges them when it takes an access log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from mesh_runtime.api import cel
from mesh_runtime.api.objects import ConfigError
from mesh_runtime.api.plain import plain
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import refused, text

TEXT_FORMAT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" '
    "%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's lines of access logs."""

MAX_LENGTH: Final = 8192
MAX_DEPTH: Final = 8

_COMMAND = re.compile(r"%(?:%|([A-Z][A-Z0-9_]*)(?:\(((?:.|\n)*?)\))?(?::([0-9]{1,9}))?%)")
_ADDRESS = ("", "_WITHOUT_PORT", "_PORT")
_COMMANDS = """
    PROTOCOL RESPONSE_CODE RESPONSE_CODE_DETAILS CONNECTION_TERMINATION_DETAILS RESPONSE_FLAGS RESPONSE_FLAGS_LONG
    BYTES_RECEIVED BYTES_SENT REQUEST_HEADERS_BYTES RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES
    UPSTREAM_WIRE_BYTES_SENT UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED
    DOWNSTREAM_WIRE_BYTES_SENT DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT
    DOWNSTREAM_HEADER_BYTES_RECEIVED DURATION REQUEST_DURATION RESPONSE_DURATION RESPONSE_TX_DURATION
    REQUEST_TX_DURATION DOWNSTREAM_HANDSHAKE_DURATION ROUNDTRIP_DURATION UPSTREAM_CONNECTION_POOL_READY_DURATION
    UPSTREAM_HOST UPSTREAM_HOST_NAME UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID
    UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_PROTOCOL UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_TLS_VERSION
    UPSTREAM_TLS_CIPHER UPSTREAM_TLS_SESSION_ID UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_ISSUER UPSTREAM_PEER_CERT
    UPSTREAM_PEER_URI_SAN UPSTREAM_PEER_DNS_SAN UPSTREAM_LOCAL_URI_SAN UPSTREAM_LOCAL_DNS_SAN TLS_JA3_FINGERPRINT
    DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_PEER_SUBJECT
    DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_PEER_DNS_SAN
    DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_LOCAL_URI_SAN
    DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_TRANSPORT_FAILURE_REASON REQUESTED_SERVER_NAME
    ROUTE_NAME VIRTUAL_CLUSTER_NAME HOSTNAME FILTER_CHAIN_NAME ACCESS_LOG_TYPE CONNECTION_ID STREAM_ID TRACE_ID
    GRPC_STATUS_NUMBER UNIQUE_ID LOCAL_REPLY_BODY
"""
_PLAIN = frozenset(_COMMANDS.split()) | {
    f"{end}_ADDRESS{suffix}" if suffix != "_PORT" else f"{end}_PORT"
    for end in (
        "UPSTREAM_LOCAL",
        "UPSTREAM_REMOTE",
        "DOWNSTREAM_LOCAL",
        "DOWNSTREAM_REMOTE",
        "DOWNSTREAM_DIRECT_LOCAL",
        "DOWNSTREAM_DIRECT_REMOTE",
    )
    for suffix in _ADDRESS
    if (end, suffix) != ("DOWNSTREAM_DIRECT_REMOTE", "_PORT")
}
_HEADER = r":?[!#$&'*+.^_`|~0-9A-Za-z-]+"
_HEADERS = re.compile(rf"{_HEADER}(\?{_HEADER})?")
_PATH = re.compile(r"[^:\s]+(:[^:\s]+)*")
_ARGUMENTS: Final = {
    **dict.fromkeys(("REQ", "RESP", "TRAILER", "REQ_WITHOUT_QUERY"), _HEADERS),
    **dict.fromkeys(("DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA"), _PATH),
    **dict.fromkeys(("FILTER_STATE", "UPSTREAM_FILTER_STATE"), re.compile(r"[^:\s]+(:(PLAIN|TYPED|FIELD:[^:\s]+))?")),
    "METADATA": re.compile(r"(DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST):[^:\s]+(:[^:\s]+)*"),
    "ENVIRONMENT": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "QUERY_PARAM": re.compile(r"[A-Za-z0-9_.~-]+"),
    "GRPC_STATUS": re.compile(r"|CAMEL_STRING|SNAKE_STRING|NUMBER"),
    **dict.fromkeys(("START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL"), re.compile(r"[^\n\x00]*")),
}
_BARE = frozenset({"GRPC_STATUS", "START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL"})
"""Commands whose arguments may be left out."""
_CUT = frozenset({"REQ", "RESP", "TRAILER", "REQ_WITHOUT_QUERY", "DYNAMIC_METADATA", "FILTER_STATE", "CEL"})
"""Commands whose output can be cut to a length."""


def complaint(value: str) -> str | None:
    """Say why Envoy would refuse a format; ``None``: it would not."""
    if len(value) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    at = 0
    while (at := value.find("%", at)) >= 0:
        command = _COMMAND.match(value, at)
        if command is None:
            return f"has at character {at + 1} a % that begins no command; write %% for a percent sign"
        if command[1] and (wrong := _wrong(command[1], command[2])):
            return wrong
        if command[3] and command[1] not in _CUT:
            return f"cuts %{command[1]}%, which has no length"
        at = command.end()
    return None


def json_labels(written: str) -> Mapping[str, Any] | None:
    """Read labels that are written as an object of JSON; ``None``: they are none that Envoy takes."""
    try:
        value = json.loads(written)
        return _labels(plain(value, "")) or None
    except (ValueError, RecursionError, ConfigError, PydanticCustomError):
        return None


def uses(value: Any, command: str) -> bool:
    """Tell whether a command is used in a format, or anywhere in formats below labels."""
    if isinstance(value, dict):
        return any(uses(inner, command) for inner in value.values())
    if isinstance(value, list):
        return any(uses(inner, command) for inner in value)
    return isinstance(value, str) and f"%{command}(" in value


def _wrong(name: str, arguments: str | None) -> str | None:
    if name in _PLAIN:
        return None if arguments is None else f"gives arguments to %{name}%, which takes none"
    if name == "CEL":
        return _wrong_expression(arguments or "")
    if name not in _ARGUMENTS:
        meant = get_close_matches(name, (*_PLAIN, *_ARGUMENTS), n=1)
        return f"names %{name[:40]}%, which is no command here" + (f"; did you mean %{meant[0]}%?" if meant else "")
    if arguments is None and name in _BARE:
        return None
    if arguments is None or not _ARGUMENTS[name].fullmatch(arguments):
        return f"gives %{name}% the arguments {quoted(arguments or '')}, which it does not take"
    return None


def _wrong_expression(expression: str) -> str | None:
    if wrong := cel.complaint(expression):
        return f"has in %CEL()% what {wrong}"
    return None if cel.translated(expression) == expression else "has in %CEL()% what Envoy alone does not know"


def _labels(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused("must be a mapping of labels to formats")
    _check(value, "", 0)
    return value


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise refused(f"{where} is nested too deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(inner, f"{where}.{key}".strip("."), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, where, depth + 1)
    elif isinstance(value, str):
        if wrong := complaint(value):
            raise refused(f"{where} {wrong}")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"{where} must be text, a number, a list or a mapping", "put it in quotes")


LogFormat = Annotated[str, AfterValidator(text(complaint))]
"""A line of text with commands."""
LogLabels = Annotated[dict[str, Any], BeforeValidator(_labels)]
"""Names to formats; formats in lists and mappings, too."""
