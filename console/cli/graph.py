"""``graph``: the traffic graph, scripted."""

from __future__ import annotations

from collections.abc import Sequence

import click

from console.cli.client import Client, with_client
from console.cli.output import as_json

FORMATS = ("json", "dot", "graphml", "mermaid", "svg")


@click.command()
@click.option(
    "-n", "--namespace", "namespaces", multiple=True, help="Only what is in it, and whoever it talks to; repeatable."
)
@click.option(
    "--type",
    "kind",
    type=click.Choice(["app", "versionedApp", "workload", "service"]),
    default="versionedApp",
    show_default=True,
)
@click.option("--window", default="1m", show_default=True, help="10s, 1m, 5m, 15m or 1h.")
@click.option("--at", default="", help="An instant of the last hour: 2026-11-20T20:00:00Z, or -10m.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="json", show_default=True)
@with_client
def graph(client: Client, *, namespaces: Sequence[str], kind: str, window: str, at: str, output: str) -> None:
    """Print the traffic graph."""
    query = {"type": kind, "window": window, "namespaces": ",".join(namespaces), "at": at}
    if output == "json":
        click.echo(as_json(client.get("/graph", **query)))
    else:
        click.echo(client.text("/graph", **query, format=output))
