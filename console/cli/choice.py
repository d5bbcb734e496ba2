"""The options that choose a part of the graph, the same for every command that asks about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import click

TYPES = ("app", "versionedApp", "workload", "service", "operation")


def which(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose a projection and namespaces, and the query of both as ``projection``."""

    @click.option("--type", "kind", type=click.Choice(TYPES), default="versionedApp", show_default=True)
    @click.option(
        "-n",
        "--namespace",
        "namespaces",
        multiple=True,
        help="Only what is in it, and whoever it talks to; repeatable.",
    )
    @wraps(command)
    def wrapped(*args: Any, kind: str, namespaces: Sequence[str], **options: Any) -> Any:
        return command(*args, projection={"type": kind, "namespaces": ",".join(namespaces)}, **options)

    return wrapped


def moment(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command also the options that choose a window, as part of ``projection``."""

    @which
    @click.option("--window", default="1m", show_default=True, help="From 10s to 30d: 45s, 7m, 1h30m, 2d.")
    @click.option("--at", default="", help="When it ends: 2026-11-20T20:00:00Z, Unix seconds or milliseconds, or -10m.")
    @wraps(command)
    def wrapped(*args: Any, projection: Mapping[str, str], window: str, at: str, **options: Any) -> Any:
        return command(*args, projection={**projection, "window": window, "at": at}, **options)

    return wrapped
