"""``logs``: what a workload of this machine, or its proxy, has printed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click

from console.cli.run import data_option, namespace_option
from console.datadir import DataDir

POLL_S = 0.2


@click.command()
@click.argument("name")
@namespace_option
@click.option("--proxy", is_flag=True, help="Its Envoy's log instead of the command's.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--tail", type=click.IntRange(0), help="Begin with the last lines only.")
@data_option
def logs(*, name: str, namespace: str, proxy: bool, follow: bool, tail: int | None, data: Path) -> None:
    """Print the log of NAME: a workload, or one instance of it such as catalog-v1~0."""
    what = "proxy" if proxy else "command"
    directory = DataDir(data).path / "logs"
    found = sorted(
        {*directory.glob(f"{namespace}.{name}.{what}.log"), *directory.glob(f"{namespace}.{name}~*.{what}.log")}
    )
    if not found:
        known = sorted({path.name.removesuffix(f".{what}.log") for path in directory.glob(f"*.{what}.log")})
        hint = f"there are {', '.join(known)}" if known else "commands started with run --log have one"
        raise click.ClickException(f"{namespace}.{name} has no log of its {what} here; {hint}")
    for path in found:
        prefix = f"{path.name.removesuffix(f'.{what}.log')}: " if len(found) > 1 else ""
        for line in _last(path, tail):
            click.echo(prefix + line)
    if follow:
        for line in _added(found):
            click.echo(line)


def _last(path: Path, count: int | None) -> Iterator[str]:
    older = path.with_name(f"{path.name}.1")
    lines = (line.rstrip("\n") for file in (older, path) if file.exists() for line in _lines(file))
    yield from lines if count is None else deque(lines, maxlen=count)


def _lines(path: Path) -> Iterator[str]:
    with path.open(errors="replace") as file:
        yield from file


def _added(paths: list[Path]) -> Iterator[str]:
    """Yield what is added from now on; a file that became smaller was moved away and begins anew."""
    places = {path: path.stat().st_size for path in paths}
    while True:
        for path, place in places.items():
            size = path.stat().st_size
            if size != place:
                with path.open(errors="replace") as file:
                    file.seek(place if size > place else 0)
                    yield from file.read().splitlines()
                    places[path] = file.tell()
        time.sleep(POLL_S)
