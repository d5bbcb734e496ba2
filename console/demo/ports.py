"""Where the demo's own processes listen."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from console.demo.members import free_ports


class TakenError(Exception):
    """The port that was asked for is taken; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All on 127.0.0.1."""

    page: int
    otlp_grpc: int
    otlp_http: int
    inbox: int
    payments: int


@contextmanager
def chosen_ports(page: int | None) -> Iterator[tuple[Ports, list[str]]]:
    """Choose where to listen: the customary numbers, or the next free ones, and a sentence for each that was taken.

    A *page* port that was asked for is taken or refused with :class:`TakenError`; 0 is any. During the block no
    other demo chooses the same ones, though nobody may listen there yet.
    """
    told: list[str] = []
    with contextlib.ExitStack() as claims:

        def claimed(port: int) -> bool:
            return _is_free(port) and _claim(port, claims)

        def near(name: str, wanted: int) -> int:
            port = next(port for port in range(wanted, wanted + 1000) if claimed(port))
            if port != wanted:
                told.append(f"port {wanted} is taken; {name} uses {port}")
            return port

        if page and not claimed(page):
            raise TakenError(f"port {page} is taken; choose another --port, or leave it out to get the next free one")
        ports = Ports(
            page=near("the page", 20001) if page is None else page or next(filter(claimed, free_ports())),
            otlp_grpc=near("OTLP over gRPC", 4317),
            otlp_http=near("OTLP over HTTP", 4318),
            inbox=near("the alert inbox", 9481),
            payments=near("the payment provider", 9480),
        )
        yield ports, told


def _claim(port: int, claims: contextlib.ExitStack) -> bool:
    """Claim a port among demos, by an abstract Unix socket: it ends with the process."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0meshscope/port/{port}")
    except OSError:
        claim.close()
        return False
    claims.callback(claim.close)
    return True


def _is_free(port: int) -> bool:
    # gRPC listens on IPv6 and means both: binding the IPv4 address beside it would succeed.
    with socket.socket() as caller:
        if caller.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
