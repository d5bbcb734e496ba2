"""Whether the ports that a server would listen on are free."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from console.settings import Settings
from console.signals.signal import Advice, Area, Presence, Signal


def ports(settings: Settings) -> Iterator[Signal]:
    """Try each that is set; port 0 is always free."""
    wanted = (
        ("console", "web", "port", settings.web.listen, settings.web.port),
        ("OTLP over gRPC", "otlp", "grpc_port", settings.otlp.listen, settings.otlp.grpc_port),
        ("OTLP over HTTP", "otlp", "http_port", settings.otlp.listen, settings.otlp.http_port),
        ("xDS", "mesh", "xds_port", settings.web.listen, settings.mesh.xds_port),
        ("Zipkin", "zipkin", "port", settings.zipkin.listen, settings.zipkin.port),
        ("Jaeger", "jaeger", "port", settings.jaeger.listen, settings.jaeger.port),
        ("access logs", "als", "port", settings.als.listen, settings.als.port),
        ("remote-write", "remote_write", "port", settings.remote_write.listen, settings.remote_write.port),
    )
    for title, section, key, listen, port in wanted:
        if port:
            yield _port(title, section, key, listen, port)


def _port(title: str, section: str, key: str, listen: str, port: int) -> Signal:
    name = f"port {port} for {title}"
    if not (why := _taken(listen, port)):
        return Signal(area=Area.MACHINE, name=name, text=f"free on {listen}")
    advice = (
        Advice(text="See who has it:", paste=f"ss -ltnp 'sport = :{port}'"),
        Advice(text="Or take a free one, in meshscope.toml:", paste=f"[{section}]\n{key} = 0"),
    )
    text = f"cannot be listened on at {listen}: {why}"
    return Signal(area=Area.MACHINE, name=name, text=text, presence=Presence.FAILING, advice=advice)


def _taken(listen: str, port: int) -> str:
    """Why it cannot be had; ``""``: it can."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((listen, port))
            one.listen(1)
        except OSError as trouble:
            return trouble.strerror or str(trouble)
    return ""
