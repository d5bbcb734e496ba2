"""The two ASGI applications: the public one on TCP, the private one with the agents' API on a Unix socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import FastAPI
from starlette.types import ASGIApp

from console.context import Console
from console.web import agents, errors, health, jaeger
from console.web.answers.shape import Refusal
from console.web.api import (
    alerts,
    analysis,
    clusters,
    config,
    demo,
    graph,
    kiali,
    logs,
    metrics,
    namespaces,
    proxies,
    sd,
    signals,
    tap,
    traces,
    wizards,
)
from console.web.limits import BodyLimit
from console.web.security import Guard, policy
from console.web.stream import PROTOCOL

PREFIX = "/api/v1"
OPENAPI = f"{PREFIX}/openapi.json"

Pages = Callable[[Console, FastAPI], Callable[[], Iterable[str]]]
"""Adds the page to an application; what it returns names the page's inline scripts by hash."""


def public(console: Console, pages: Pages | None = None) -> Guard:
    """Build what browsers and remote command lines reach; guarded from outside in."""
    app = _api(console)
    script_hashes = pages(console, app) if pages else tuple
    web = console.settings.web
    rules = policy(web.listen, allowed_hosts=web.allowed_hosts, token=console.token)
    return Guard(BodyLimit(app, web.max_body_bytes), rules, script_hashes)


def private(console: Console) -> ASGIApp:
    """Build what is reached through the Unix socket; its file mode is the guard."""
    app = _api(console)
    app.include_router(agents.api)
    return BodyLimit(app, console.settings.web.max_body_bytes)


def _api(console: Console) -> FastAPI:
    app = FastAPI(
        title="Meshscope",
        version="1",
        description=PROTOCOL,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": Refusal, "description": "Why it was not done."}},
    )
    app.state.console = console
    errors.install(app)
    app.include_router(health.api)
    app.include_router(metrics.api)
    app.include_router(sd.api, prefix=PREFIX)
    for module in (graph, namespaces, analysis, clusters, config, proxies, traces, alerts, signals, wizards, logs, tap):
        app.include_router(module.api, prefix=PREFIX)
    app.include_router(kiali.api, prefix=kiali.PREFIX)
    app.include_router(jaeger.api, prefix=jaeger.PREFIX)
    if console.demo is not None:
        app.include_router(demo.api, prefix=PREFIX)
    return app
