"""What is spoken at a port: Istio's words for it, and what they mean to a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Protocol = Literal["http", "http2", "grpc", "grpc-web", "tcp", "tls", "auto"]
"""``tls``: encrypted by the application, told apart by server name. ``auto``: each connection shows what it speaks."""

HTTP: Final[frozenset[Protocol]] = frozenset({"http", "http2", "grpc", "grpc-web"})
"""Always requests. ``auto`` may be."""
HTTP2: Final[frozenset[Protocol]] = frozenset({"http2", "grpc", "grpc-web"})

_WORDS: Final[Mapping[str, Protocol]] = {
    "http": "http",
    "http_proxy": "http",
    "http2": "http2",
    "grpc": "grpc",
    "grpc-web": "grpc-web",
    "https": "tls",
    "tls": "tls",
    "tcp": "tcp",
    "mongo": "tcp",
    "mysql": "tcp",
    "postgres": "tcp",
    "redis": "tcp",
}
_KUBERNETES: Final[Mapping[str, Protocol]] = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "tls",
}
_SERVER_FIRST: Final = frozenset({25, 53, 3306, 27017})
"""Where Istio expects raw TCP without being told: in mail, DNS, MySQL and MongoDB."""


def by_word(word: str) -> Protocol:
    """Return what a protocol's name means, in any case; a name that says nothing leaves it to each connection."""
    return _WORDS.get(word.lower(), "auto")


def by_port(number: int, name: str, app_protocol: str) -> Protocol:
    """Return what a Service's port speaks by Istio's rule: its ``appProtocol``, else its name before ``-``."""
    if app_protocol in _KUBERNETES:
        return _KUBERNETES[app_protocol]
    found = by_word(first_word(name, app_protocol))
    return "tcp" if found == "auto" and number in _SERVER_FIRST else found


def first_word(name: str, app_protocol: str) -> str:
    """Return the part of a port's ``appProtocol``, else of its name, that tells its protocol."""
    text = (app_protocol or name).lower()
    return "grpc-web" if text.startswith("grpc-web") else text.partition("-")[0]
