"""``wizard``: the wizards without a browser."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from console.cli.client import Client, author, with_client
from console.cli.output import age, as_json, rejections, table
from graph.durations import milliseconds

PATH = "/wizards/traffic-shifting"


@click.group()
def wizard() -> None:
    """Plan and apply a change of traffic; take it back."""


@wizard.command("traffic-shifting")
@click.argument("service")
@click.argument("shares", nargs=-1, metavar="[SUBSET=PERCENT]...")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option(
    "--gateway", default="mesh", show_default=True, help="Whose requests: mesh, or namespace/name of a Gateway."
)
@click.option("--apply", "do_apply", is_flag=True, help="Do it; without, only the plan is shown.")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def traffic_shifting(
    *,
    client: Client,
    service: str,
    shares: Sequence[str],
    namespace: str,
    gateway: str,
    do_apply: bool,
    reason: str,
    output: str | None,
) -> None:
    """Share the requests for SERVICE among its subsets, as in `v1=20 v2=80`. Without shares: how it is now."""
    if not shares:
        _show_situation(client.get(PATH, namespace=namespace, service=service, gateway=gateway), output)
        return
    intent = {"namespace": namespace, "service": service, "gateway": gateway, "weights": _weights(shares)}
    plan = client.post(f"{PATH}/plan", intent)
    if not do_apply:
        _show_plan(plan, output)
        return
    if not plan["appliable"]:
        _show_plan(plan, output)
        sys.exit(1)
    applied = client.post(
        f"{PATH}/apply", intent | {"plannedOn": plan["plannedOn"], "author": author(), "reason": reason}
    )
    _show_applied(applied, output)


@wizard.command()
@click.argument("change")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def undo(*, client: Client, change: str, reason: str, output: str | None) -> None:
    """Put everything that CHANGE touched back to exactly what it was."""
    _show_applied(client.post(f"{PATH}/undo", {"id": change, "author": author(), "reason": reason}), output)


@wizard.command()
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def changes(*, client: Client, output: str | None) -> None:
    """List what wizards did, newest first."""
    items = client.get("/wizards/changes")["items"]
    if output:
        click.echo(as_json(items))
        return
    rows = [(c["id"], age(c["at"]), c["author"] or "-", c["title"]) for c in items]
    click.echo(table(("CHANGE", "AGE", "AUTHOR", "TITLE"), rows))


def _weights(shares: Sequence[str]) -> dict[str, int]:
    weights: dict[str, int] = {}
    for share in shares:
        subset, _, percent = share.partition("=")
        if not percent.removesuffix("%").isdecimal():
            raise click.UsageError(f"{share!r} is not SUBSET=PERCENT, as in v2=80")
        weights[subset] = int(percent.removesuffix("%"))
    return weights


def _show_situation(situation: Mapping[str, Any], output: str | None) -> None:
    if output:
        click.echo(as_json(situation))
        return
    rows = [_option(option) for option in situation["options"]]
    click.echo(table(("SUBSET", "VERSION", "SHARE", "INSTANCES", "RATE", "ERRORS", "P95"), rows))
    if situation["now"].get("reason"):
        click.echo(f"\n{situation['now']['reason']}")


def _option(option: Mapping[str, Any]) -> tuple[str, ...]:
    facts = option["facts"] or {"instances": 0, "rate": 0.0, "error_ratio": 0.0, "p95_ms": None}
    p95 = "-" if facts["p95_ms"] is None else milliseconds(facts["p95_ms"])
    return (
        option["subset"],
        option["version"] or "-",
        f"{option['weight']} %",
        str(facts["instances"]),
        f"{facts['rate']:.1f}/s",
        f"{facts['error_ratio']:.1%}",
        p95,
    )


def _show_plan(plan: Mapping[str, Any], output: str | None) -> None:
    if output:
        click.echo(as_json(plan))
        return
    click.echo(plan["diff"] or "nothing to change: it is so already\n", nl=False)
    for finding in plan["findings"]:
        click.echo(f"{finding['level']}: {finding['message']} [{finding['code']}]", err=True)
    if plan["appliable"]:
        click.echo("repeat with --apply to do it", err=True)


def _show_applied(applied: Mapping[str, Any], output: str | None) -> None:
    if output:
        click.echo(as_json(applied))
        return
    settled = applied["settled"]
    click.echo(f"{applied['id']}: {applied['title']}")
    parts = [f"{settled['acknowledged']} proxies acknowledged in {milliseconds(settled['elapsed_ms'])}"]
    parts += [f"not yet: {', '.join(settled['waiting'])}"] if settled["waiting"] else []
    reasons = dict(one.split(": ", 1) for one in settled["rejected"])
    parts += [f"rejected by {rejections(reasons)}"] if reasons else []
    click.echo("; ".join(parts), err=True)
    if not applied["readback_ok"]:
        click.echo("warning: reading it back gave something else; see `meshscope history`", err=True)
