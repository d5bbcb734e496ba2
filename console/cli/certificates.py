"""``certificates``: who has which certificate until when, and new ones for all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import click

from console.cli.client import Client, with_client
from console.cli.output import as_json, table
from console.enumerated import enumerated

_POLL_S: Final = 0.5
_SHORT: Final = 16
_NAMED: Final = 5
"""So many of those that are waited for are named."""
_HEADER: Final = ("PROXY", "IDENTITY", "SERIAL", "VALID FROM", "VALID UNTIL", "ROOT")


@click.group(invoke_without_command=True)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
@with_client
def certificates(context: click.Context, client: Client, output: str) -> None:
    """List the certificates in use: whose they are, how long they hold and which root signed them."""
    if context.invoked_subcommand is not None:
        return
    found = client.get("/certificates")
    if output == "json":
        click.echo(as_json(found))
        return
    click.echo(table(_HEADER, [_row(item) for item in found["items"]]))
    _tell(found["rotation"])


@certificates.command()
@click.option("--root", is_flag=True, help="Replace the mesh's root too.")
@click.option("--wait/--no-wait", default=True, help="With --root: wait until nobody trusts the old one.")
@with_client
def rotate(client: Client, *, root: bool, wait: bool) -> None:
    """Give every proxy a new certificate now.

    A new root takes over in three steps: all proxies trust both, all get certificates of the new one, all trust the
    new one alone. Each step waits until every registered proxy has acknowledged it, or its lease has ended (15 s
    after its agent was last heard of). It goes on by itself, also when the server is restarted.
    """
    rotation = client.post("/certificates/rotate", {"root": root})["rotation"]
    told = ""
    while root and wait and rotation["running"]:
        if progress(rotation) != told:
            told = progress(rotation)
            click.echo(told)
        time.sleep(_POLL_S)
        rotation = client.get("/certificates")["rotation"]
    if root and not wait:
        _tell(rotation)
    else:
        click.echo(f"every proxy has a certificate of the root {rotation['root'][:_SHORT]}" if root else "rotated")


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    valid = item["not_before"], item["not_after"]
    return item["instance_id"], item["identity"], item["serial"][:_SHORT], *valid, item["root"][:_SHORT]


def _tell(rotation: Mapping[str, Any]) -> None:
    if rotation["running"]:
        click.echo(progress(rotation))


def progress(rotation: Mapping[str, Any]) -> str:
    """Say at which step the root's replacement is, and whom it waits for, if anybody."""
    waiting = f"; waiting for {enumerated(rotation['waiting'], _NAMED)}" if rotation["waiting"] else ""
    return f"the root is being replaced ({rotation['stage']}){waiting}"
