"""``graph analyse``: what breaks with a node, what is slow, what calls in cycles, what stands alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from console.cli.choice import moment
from console.cli.client import Client, with_client
from console.cli.options import output_option
from console.cli.output import as_json, table
from console.enumerated import enumerated
from graph.durations import milliseconds

SHOWN = 8
"""Most nodes that a cell of a table names."""


@click.group()
def analyse() -> None:
    """Ask what breaks with a node, what is slow, what calls in cycles, what stands alone."""


@analyse.command("blast-radius")
@click.argument("nodes", metavar="NODE...", nargs=-1, required=True)
@moment
@output_option
@with_client
def blast_radius(client: Client, *, nodes: Sequence[str], projection: Mapping[str, str], output: str) -> None:
    """Say who is affected if a node fails, and how much of the traffic that enters the mesh.

    NODE is an id or a name: cart, shop/cart, 'cart v2'. Several fail together.
    """
    found = client.get("/analysis/blast-radius", **projection, node=nodes)
    _print(found, output, _blast_lines(found))


@analyse.command("single-points")
@moment
@output_option
@with_client
def single_points(client: Client, *, projection: Mapping[str, str], output: str) -> None:
    """List the single points of failure, the one that most hangs on first."""
    found = client.get("/analysis/single-points", **projection)
    rows = [
        (
            _name(one),
            _percent(one["share"]["likely"]),
            "-" if one["replicas"] is None else one["replicas"],
            ", ".join(one["weaknesses"]).replace("_", " "),
            _names(one["cutOff"]),
        )
        for one in found["items"]
    ]
    _print(found, output, _table(("NODE", "TRAFFIC", "REPLICAS", "WHY", "CUTS OFF"), rows))


@analyse.command()
@moment
@output_option
@with_client
def cycles(client: Client, *, projection: Mapping[str, str], output: str) -> None:
    """List cycles of calls, the busiest first."""
    found = client.get("/analysis/cycles", **projection)
    rows = [(" → ".join(map(_name, one["way"])), len(one["nodes"]), f"{one['rate']:.3g}/s") for one in found["items"]]
    _print(found, output, _table(("WAY AROUND", "NODES", "RATE"), rows))


@analyse.command("critical-path")
@moment
@click.option("--trace", default="", help="Of this trace, instead of the graph.")
@click.option("--quantile", type=click.Choice(["p50", "p95", "p99", "mean"]), default="p95", show_default=True)
@click.option("--limit", type=click.IntRange(1, 100), default=3, show_default=True, help="How many chains.")
@output_option
@with_client
def critical_path(
    client: Client, *, projection: Mapping[str, str], trace: str, quantile: str, limit: int, output: str
) -> None:
    """Say where the time goes: along the slowest chains from where traffic enters, or in one trace."""
    if trace:
        found = client.get(f"/traces/{trace}/critical-path")
        _print(found, output, _trace_lines(found))
    else:
        found = client.get("/analysis/critical-paths", **projection, quantile=quantile, limit=limit)
        _print(found, output, _chain_lines(found))


def _print(found: Mapping[str, Any], output: str, lines: Iterator[str]) -> None:
    click.echo(as_json(found) if output == "json" else "\n".join(lines))


def _blast_lines(found: Mapping[str, Any]) -> Iterator[str]:
    share = found["share"]
    fails = "fails" if len(found["failed"]) == 1 else "fail together"
    yield f"If {_names(found['failed'])} {fails}, {_percent(share['likely'])} of what enters the mesh meets it"
    yield (
        f"({_percent(share['least'])} to {_percent(share['most'])} of {found['entryRate']:.3g} requests/s); "
        f"{found['unharmed']} nodes are not affected."
    )
    if found["starved"]:
        yield f"No traffic reaches {_names(found['starved'])} any more."
    yield ""
    yield from _table(
        ("CALLER", "SHARE", "AT LEAST", "AT MOST", "CALLS AWAY"),
        [
            (_name(one), *(_percent(one["share"][way]) for way in ("likely", "least", "most")), one["hops"])
            for one in found["callers"]
        ],
    )


def _chain_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for number, chain in enumerate(found["items"]):
        if number:
            yield ""
        yield from _table(
            ("CALL", found["quantile"].upper(), "ADDS", "SHARE"),
            [
                (
                    f"{_name(step['source'])} → {_name(step['target'])}",
                    milliseconds(step["ms"]),
                    milliseconds(step["addedMs"]),
                    _percent(step["share"]),
                )
                for step in chain["steps"]
            ],
        )
    if not found["items"]:
        yield "no call from an entry has a latency in this window"


def _trace_lines(found: Mapping[str, Any]) -> Iterator[str]:
    whole = found["root"]["durationMs"]
    yield from _table(
        ("SPAN", "APP", "CRITICAL", "OF ALL", "SELF", "DURATION"),
        [
            (
                one["name"],
                f"{one['app']} {one['version']}".rstrip(),
                milliseconds(one["criticalMs"]),
                _percent(one["criticalMs"] / whole if whole else 0.0),
                milliseconds(one["selfMs"]),
                milliseconds(one["durationMs"]),
            )
            for one in found["spans"]
        ],
    )
    if found["apart"]:
        yield f"{found['apart']} spans do not hang on the root: their parents are missing"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield table(header, rows) if rows else "none"


def _name(node: Mapping[str, str]) -> str:
    return f"{node['namespace']}/{node['label']} {node['version']}".rstrip()


def _names(nodes: Sequence[Mapping[str, str]]) -> str:
    return enumerated([_name(node) for node in nodes], SHOWN)


def _percent(share: float) -> str:
    return f"{share:.1%}"
