"""The pages. Each module has ``PATH``, ``TITLE``, ``show(...)`` and ``register(app, console)``."""

from __future__ import annotations

from types import ModuleType

from console.pages import (
    alerts,
    certificates,
    config,
    graph,
    logs,
    overview,
    proxies,
    services,
    signals,
    tap,
    traces,
    workloads,
)

ALL: tuple[ModuleType, ...] = (
    overview,
    graph,
    traces,
    logs,
    tap,
    alerts,
    services,
    workloads,
    proxies,
    config,
    certificates,
    signals,
)
HOME = "/graph"


def find(pathname: str) -> tuple[ModuleType | None, tuple[str, ...]]:
    """The page of an address and what follows its path: ``/services/shop/catalog`` is ``services``, ``(shop, catalog)``."""
    clean = pathname.rstrip("/") or HOME
    for page in ALL:
        if clean == page.PATH or clean.startswith(page.PATH + "/"):
            return page, tuple(part for part in clean[len(page.PATH) :].split("/") if part)
    return None, ()
