"""``doctor``: what is present, missing or stale, on this machine and in every source, and the way out."""

from __future__ import annotations

import asyncio
import json
import logging
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from console.cli.client import Client, ServerError
from console.cli.options import data_option, output_option, server_option, settings_option, token_option
from console.cli.up import prometheus_table
from console.datadir import DataDir, DataDirError
from console.settings import Settings, SettingsError, load
from console.signals.signal import Area, Presence, Signal

COLOURS: Mapping[str, str] = {"ok": "green", "not used": "bright_black", "warn": "yellow", "fail": "red"}
FINE = {"ok", "not used"}
WORD_CHARS = max(map(len, COLOURS))
NAME_CHARS = 30
Told = dict[str, Any]
"""A signal as the API writes it."""


@click.command()
@data_option
@settings_option
@click.option("--prometheus", multiple=True, metavar="[NAME=]URL", help="Look into this one, too; repeatable.")
@server_option
@token_option
@click.option("-v", "--verbose", is_flag=True, help="With advice on what is fine, too.")
@output_option
def doctor(
    *,
    data: Path,
    settings: Path | None,
    prometheus: Sequence[str],
    server: str,
    token: str,
    verbose: bool,
    output: str,
) -> None:
    """Check the machine, the settings and every source of telemetry; say what to do where something is missing.

    A running server is asked how its sources do; where none runs, they are asked from here. With --server only that
    one is asked. Exits with 1 where something fails.
    """
    logging.basicConfig(level=logging.ERROR)  # what is wrong is said in place
    if server:
        found = Client(data=data, server=server, token=token).get("/signals")["items"]
    else:
        found = _examined(DataDir(data), settings, prometheus)
    told = [{"verdict": Presence(one["presence"]).verdict, **one} for one in found]
    if output == "json":
        click.echo(json.dumps({"items": told}, ensure_ascii=False, indent=2))
    else:
        _print(told, verbose=verbose)
    raise SystemExit(any(one["verdict"] == "fail" for one in told))


def _examined(data: DataDir, file: Path | None, prometheus: Sequence[str]) -> list[Told]:
    # here, not above: the libraries of all sources take a second to import
    from console.doctor import of_machine, of_settings  # noqa: PLC0415

    try:
        settings = load(file=file, flags={"sources": [*map(prometheus_table, prometheus)]})
    except SettingsError as trouble:
        return [_told(Signal(area=Area.MACHINE, name="settings", text=str(trouble), presence=Presence.FAILING))]
    served = _served(data)
    found = [*of_machine(settings, data, serving=served is not None)]
    asked = _only(settings, prometheus) if served is not None else settings
    found += asyncio.run(_all(of_settings(asked)))
    return [*map(_told, found), *(served or ())]


def _served(data: DataDir) -> list[Told] | None:
    """What the server of this directory says; ``None``: there is none that answers."""
    try:
        data.read_server()
        items: list[Told] = Client(data=data.path).get("/signals")["items"]
    except (DataDirError, ServerError):
        return None
    return items


def _only(settings: Settings, prometheus: Sequence[str]) -> Settings:
    """Keep the sources of the command line: a running server tells of its own."""
    named = settings.sources[len(settings.sources) - len(prometheus) :] if prometheus else ()
    return Settings(sources=named)


async def _all(found: Any) -> list[Signal]:
    return [one async for one in found]


def _told(signal: Signal) -> Told:
    return asdict(signal)


def _print(found: Iterable[Told], *, verbose: bool) -> None:
    areas = list(Area)
    ordered = sorted(found, key=lambda one: areas.index(Area(one["area"])) if one["area"] != Area.MACHINE else -1)
    for area, those in groupby(ordered, key=lambda one: str(one["area"])):
        click.secho(area, bold=True)
        for one in those:
            _print_one(one, verbose=verbose)
        click.echo()
    counts = Counter(one["verdict"] for one in ordered)
    click.echo(", ".join(f"{counts[word]} {word}" for word in COLOURS if counts[word]))


def _print_one(one: Told, *, verbose: bool) -> None:
    first, *further = one["text"].split("; ")
    word = click.style(f"{one['verdict']:{WORD_CHARS}}", fg=COLOURS[one["verdict"]])
    click.echo(f"  {word}  {one['name']:{NAME_CHARS}}  {first}")
    for fact in further:
        click.echo(textwrap.indent(fact, " " * (WORD_CHARS + NAME_CHARS + 6)))
    for advice in one["advice"] if verbose or one["verdict"] not in FINE else ():
        click.echo(textwrap.indent(advice["text"], " " * (WORD_CHARS + 4)))
        if advice["paste"]:
            click.echo(textwrap.indent(advice["paste"].rstrip(), " " * (WORD_CHARS + 6)))
