"""``up``: the server."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from console.cli.options import data_option, settings_option
from console.datadir import DataDir, DataDirError, ServerInfo
from mesh_runtime.log_lines import log_to_stderr

READY = "READY"
"""The word before ``server.json``'s content on the line that says: usable now."""


@click.command()
@data_option
@settings_option
@click.option(
    "--listen",
    help="Address of the console; any but a loopback one needs a token from visitors, a Prometheus too (see scrape-config).",
)
@click.option("--allow-host", "allowed_hosts", multiple=True, help="Name under which browsers may open it; repeatable.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the console; 0 takes a free one.")
@click.option("--otlp-grpc-port", type=click.IntRange(0, 65535), help="Port for spans over gRPC.")
@click.option("--otlp-http-port", type=click.IntRange(0, 65535), help="Port for spans over HTTP.")
@click.option(
    "--prometheus",
    "prometheus",
    multiple=True,
    metavar="[NAME=]URL",
    help="A Prometheus, Thanos, Mimir or VictoriaMetrics that holds a mesh's metrics; repeatable.",
)
@click.option(
    "--scrape",
    "scrape",
    multiple=True,
    metavar="[NAME=]URL",
    help="A page of metrics: of an Envoy (.../stats/prometheus), a Linkerd proxy, a Traefik …; repeatable.",
)
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="[CLUSTER=]NAME",
    help="A Kubernetes cluster to show, by its kubeconfig's context, and what its metrics call it; repeatable.",
)
@click.option("--demo", is_flag=True, help="With the demo's faults.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning")
def up(
    *,
    data: Path,
    settings: Path | None,
    listen: str | None,
    allowed_hosts: Sequence[str],
    port: int | None,
    otlp_grpc_port: int | None,
    otlp_http_port: int | None,
    prometheus: Sequence[str],
    scrape: Sequence[str],
    contexts: Sequence[str],
    demo: bool,
    log_level: str,
) -> None:
    """Start the console, its collectors and the control plane of the bundled mesh."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException(
            "the mesh runs on Linux only: it needs its loopback addresses and Envoy's build for it"
        )
    log_to_stderr(log_level.upper(), "%(asctime)s %(levelname)s %(name)s: %(message)s")
    flags: dict[str, Any] = {
        "web": _given(listen=listen, port=port, allowed_hosts=allowed_hosts or None),
        "otlp": _given(grpc_port=otlp_grpc_port, http_port=otlp_http_port),
        "sources": [
            *map(prometheus_table, prometheus),
            *(_named(one, "scrape", lambda url: {"targets": [url]}) for one in scrape),
        ],
        "clusters": [_context(one) for one in contexts],
    }
    asyncio.run(_serve(DataDir(data), settings, flags, demo=demo))


async def _serve(data: DataDir, file: Path | None, flags: dict[str, Any], *, demo: bool) -> None:
    # here, not above: agents and the other commands must not pay for these imports
    from collectors.errors import CollectorError  # noqa: PLC0415
    from console.engine import run  # noqa: PLC0415
    from console.settings import SettingsError, load  # noqa: PLC0415
    from console.web.server import ListenError  # noqa: PLC0415
    from console.webhooks.sender import EndpointError  # noqa: PLC0415
    from mesh_runtime.addresses import NoAddressError  # noqa: PLC0415
    from mesh_runtime.identity.authority import AuthorityError  # noqa: PLC0415
    from mesh_runtime.store.port import StoreError  # noqa: PLC0415

    told = (
        *(SettingsError, DataDirError, ListenError, EndpointError),
        *(StoreError, AuthorityError, NoAddressError, CollectorError),
    )
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await run(load(file=file, flags=flags), data, announce=_announce, demo=demo)
    except asyncio.CancelledError:
        return  # asked to end, and has
    except told as trouble:
        raise click.ClickException(str(trouble)) from trouble
    except BaseExceptionGroup as troubles:
        expected, unexpected = troubles.split(told)
        if expected is None or unexpected is not None:
            raise
        raise click.ClickException("; ".join(map(str, _leaves(expected)))) from troubles


def _leaves(trouble: BaseException) -> Iterator[BaseException]:
    if isinstance(trouble, BaseExceptionGroup):
        for inner in trouble.exceptions:
            yield from _leaves(inner)
    else:
        yield trouble


def _announce(info: ServerInfo, page: str) -> None:
    click.echo(f"{READY} {json.dumps(asdict(info))}")
    click.echo(page, err=True)


def prometheus_table(text: str) -> dict[str, Any]:
    """Read what ``--prometheus`` says, as a table of ``[[sources]]``."""
    return _named(text, "prometheus", lambda url: {"url": url})


def _named(text: str, type_: str, table: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Read ``name=address``, or an address alone, as a table of ``[[sources]]``."""
    name, separator, url = text.partition("=")
    named = separator and not set(name) & set(":/")
    return {"type": type_} | ({"name": name} | table(url) if named else table(text))


def _context(text: str) -> dict[str, Any]:
    """Read ``cluster=context``, or a context alone, as a table of ``[[clusters]]``."""
    name, separator, context = text.partition("=")
    return {"name": name, "context": context} if separator else {"context": text}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
