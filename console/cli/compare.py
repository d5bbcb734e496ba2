"""``compare``: what is different between two moments, or before and after a change of config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from console.cli.choice import which
from console.cli.client import Client, with_client
from console.cli.options import output_option
from console.cli.output import as_json
from console.views.format import throughput
from graph.durations import milliseconds

SIGNS = {
    "failing": "✗",
    "slower": "▲",
    "gone": "-",
    "added": "+",
    "less_traffic": "↓",
    "more_traffic": "↑",
    "recovered": "✓",
    "faster": "▼",
}


@click.command()
@which
@click.option(
    "--from",
    "--before",
    "before",
    default="-1h",
    show_default=True,
    help="When the earlier window ends: an instant as for graph --at, or revision:41 for a change of config.",
)
@click.option(
    "--to",
    "--after",
    "to",
    default="",
    help="When the later window ends; default: now, or a window after the revision.",
)
@click.option("--window", default="5m", show_default=True, help="Length of both windows.")
@output_option
@with_client
def compare(client: Client, *, projection: Mapping[str, str], before: str, to: str, window: str, output: str) -> None:
    """Say what is different between two moments, or before and after a change of config.

    Only differences that the counts leave little doubt about: edges and nodes that came or went, fail or recovered,
    are slower or faster, have more or less traffic.
    """
    tell(client, {**projection, "window": window, "from": before, "to": to}, output)


def tell(client: Client, query: Mapping[str, str], output: str) -> None:
    """Ask for a comparison, and print it."""
    found = client.get("/graph/compare", **query)
    click.echo(as_json(found) if output == "json" else "\n".join(_lines(found)))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_moment(found['from'])}  →  {_moment(found['to'])}"
    for title in ("edges", "nodes"):
        if found[title]:
            yield f"\n{title.upper()}"
        for change in found[title]:
            yield from _change(change)
    if not found["edges"] and not found["nodes"]:
        yield "nothing certain is different"
    yield f"\n{found['same']} edges as before, {found['undecided']} with too few requests to tell"


def _moment(of: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(of["at"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    covered = "" if of["covered"] >= 0.9 * of["window"] else f", of which {of['covered']:.0f} s are known"
    return f"{at} ({of['window']} s{covered})"


def _change(change: Mapping[str, Any]) -> Iterator[str]:
    said = ", ".join(verdict.replace("_", " ") for verdict in change["verdicts"])
    for what in ("health", "replicas"):
        if change[what]:
            said += f"{', ' if said else ''}{what} {change[what][0]} → {change[what][1]}"
    sign = SIGNS[change["verdicts"][0]] if change["verdicts"] else "·"
    yield f"  {sign} {change['label']}: {said}"
    figures = "; ".join(_figures(change["before"] or {}, change["after"] or {}))
    if figures:
        yield f"      {figures}"


def _figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    shown: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("rate", "{}/s", "{:.3g}".format),
        ("errorRatio", "{} % errors", lambda share: f"{100 * share:.3g}"),
        ("p50", "p50 {}", milliseconds),
        ("p95", "p95 {}", milliseconds),
        ("sent", "{} sent", throughput),
        ("received", "{} received", throughput),
    )
    for name, words, written in shown:
        both = before.get(name), after.get(name)
        if any(both):
            yield words.format(" → ".join("–" if one is None else written(one) for one in both))
