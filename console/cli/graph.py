"""``graph``: the traffic graph, scripted; ``graph analyse``: questions about it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from console.cli.analyse import analyse
from console.cli.choice import moment
from console.cli.client import Client, with_client
from console.cli.compare import tell
from console.cli.output import as_json

FORMATS = ("json", "csv", "dot", "graphml", "mermaid", "png", "svg")


@click.group(invoke_without_command=True)
@moment
@click.option(
    "--node", default="", help="Only this node and its neighbours: its id or name, as cart or 'shop/cart v2'."
)
@click.option(
    "--depth", type=click.IntRange(1, 1000), default=1, show_default=True, help="With --node: how many calls away."
)
@click.option(
    "--direction",
    type=click.Choice(["upstream", "downstream", "both"]),
    default="both",
    show_default=True,
    help="With --node: to its callers, to whom it calls.",
)
@click.option("--find", default="", help="Name what an expression speaks of under found, and mark it in drawings.")
@click.option("--hide", default="", help="Leave out what an expression speaks of: '!healthy or rt > 100'.")
@click.option("--compare", "before", default="", help="Print what is different since then: an instant or revision:41.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="json", show_default=True)
@with_client
@click.pass_context
def graph(
    context: click.Context,
    *,
    client: Client,
    projection: Mapping[str, str],
    node: str,
    depth: int,
    direction: str,
    find: str,
    hide: str,
    before: str,
    output: str,
) -> None:
    """Print the traffic graph, now or at an instant of the past."""
    if context.invoked_subcommand is not None:
        return
    if before:
        tell(client, {**projection, "from": before, "to": projection["at"], "at": ""}, "text")
        return
    query = {**projection, "node": node, "depth": depth, "direction": direction, "find": find, "hide": hide}
    if output == "png" and sys.stdout.isatty():
        raise click.UsageError("a picture belongs into a file: meshscope graph -o png > graph.png", context)
    if output == "json":
        click.echo(as_json(client.get("/graph", **query)))
    else:
        click.echo(client.content("/graph", **query, format=output), nl=False)


graph.add_command(analyse)
