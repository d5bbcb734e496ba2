"""``logs``: what applications and proxies have written, from the files of this machine or from the server's store."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from console.cli.client import Client, ServerError
from console.cli.options import data_option, namespace_option, output_option, server_option, token_option
from console.datadir import DataDir

POLL_S = 0.2
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
SOURCES = ("output", "proxy", "access", "otlp")
COLOURS: Mapping[str, str] = {"error": "red", "fatal": "red", "warn": "yellow"}
TAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What only the server can answer."""

    grep: str
    regex: str
    level: str
    since: str
    until: str
    trace: str
    sources: tuple[str, ...]
    server: str
    """URL of a server elsewhere."""

    @property
    def is_asked(self) -> bool:
        """Whether any of it was given."""
        return any((self.grep, self.regex, self.level, self.since, self.until, self.trace, self.sources, self.server))


@click.command()
@click.argument("name", required=False, default="")
@namespace_option
@click.option("--proxy", is_flag=True, help="Its Envoy's log instead of the command's.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--tail", type=click.IntRange(0), help="Begin with the last lines only.")
@click.option("--grep", default="", help="Lines with this text, in whatever case.")
@click.option("--regex", default="", help="Lines that match this regular expression.")
@click.option("--level", type=click.Choice(LEVELS), default=None, help="Lines of this level or a worse one.")
@click.option("--since", default="", help="An instant, or how long ago: 10m.")
@click.option("--until", default="", help="An instant, or how long ago.")
@click.option("--trace", default="", help="Lines of this trace, of whichever workload.")
@click.option("--source", "sources", type=click.Choice(SOURCES), multiple=True, help="Which of its logs; repeatable.")
@output_option
@server_option
@token_option
@data_option
def logs(
    *,
    name: str,
    namespace: str,
    proxy: bool,
    follow: bool,
    tail: int | None,
    level: str | None,
    output: str,
    data: Path,
    token: str,
    **asked: Any,
) -> None:
    """Print the log of NAME: a workload, an app, or one instance of it such as catalog-v1~0.

    Without a filter the files of this machine are read, whether a server runs or not. With one, and where there are
    none, the server is asked, which keeps logs longer, also those sent by OpenTelemetry; NAME may then be left out.
    """
    search = Search(level=level or "", **asked)
    what = "proxy" if proxy else "command"
    if not search.is_asked and (files := _files(name, namespace, what, data)):
        _from_files(files, what, tail=tail, follow=follow)
        return
    client, query = Client(data=data, server=search.server, token=token), _query(name, namespace, search, proxy=proxy)
    if follow:
        _follow(client, query, tail, output, named=not name)
        return
    limit = min(tail or TAIL, 10_000)
    try:
        found = _show(client, {**query, "until": _instant(search.until), "limit": limit}, output, named=not name)
    except ServerError:
        if search.is_asked:
            raise
        found = False
    if not found and not search.is_asked:
        raise _nowhere(name, namespace, what, data)


def _follow(client: Client, query: Mapping[str, object], tail: int | None, output: str, *, named: bool) -> None:
    for message in client.lines("/logs/follow", **query, limit=min(TAIL if tail is None else tail, 10_000)):
        if message["type"] == "missed":
            click.echo(f"… {message['count']} lines were too fast to be shown; narrow it down", err=True)
        else:
            _print(message, output, named=named)


def _show(client: Client, query: Mapping[str, object], output: str, *, named: bool) -> bool:
    """Print what the server has; say whether that was anything."""
    answer = client.get("/logs", **query)
    for line in answer["items"]:
        _print(line, output, named=named)
    if not answer["complete"]:
        click.echo(f"… what is older than {answer['reached']} was not looked at: narrow it down by --since", err=True)
    return bool(answer["items"])


def _query(name: str, namespace: str, search: Search, *, proxy: bool) -> dict[str, object]:
    sources = search.sources or (("proxy", "access") if proxy else ())
    return {
        "namespace": "" if search.trace and not name else namespace,
        "workload": "" if "~" in name else name,
        "instance": name if "~" in name else "",
        "source": ",".join(sources),
        "grep": search.grep,
        "regex": search.regex,
        "level": search.level,
        "trace": search.trace,
        "since": _instant(search.since),
    }


def _instant(text: str) -> str:
    """``10m`` is ten minutes ago, as in other tools; instants stay."""
    return f"-{text}" if text[-1:] in {"s", "m", "h"} and not text.startswith("-") else text


def _print(line: Mapping[str, Any], output: str, *, named: bool) -> None:
    if output == "json":
        click.echo(json.dumps(line, ensure_ascii=False))
        return
    at = datetime.fromisoformat(line["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    who = f"{line['instance'] or line['workload']}  " if named else ""
    click.echo(f"{at}  {who}{click.style(line['text'], fg=COLOURS.get(line['level']))}")


def _files(name: str, namespace: str, what: str, data: Path) -> list[Path]:
    """What of it this machine has."""
    directory = DataDir(data).path / "logs"
    return sorted(
        {*directory.glob(f"{namespace}.{name}.{what}.log"), *directory.glob(f"{namespace}.{name}~*.{what}.log")}
    )


def _nowhere(name: str, namespace: str, what: str, data: Path) -> click.ClickException:
    there = (DataDir(data).path / "logs").glob(f"*.{what}.log")
    known = sorted({path.name.removesuffix(f".{what}.log") for path in there})
    hint = f"there are {', '.join(known)}" if known else "commands started with run --log have one"
    return click.ClickException(f"{namespace}.{name} has no log of its {what} here, nor in the server; {hint}")


def _from_files(found: list[Path], what: str, *, tail: int | None, follow: bool) -> None:
    for path in found:
        prefix = f"{path.name.removesuffix(f'.{what}.log')}: " if len(found) > 1 else ""
        for line in _last(path, tail):
            click.echo(prefix + line)
    if follow:
        for line in _added(found):
            click.echo(line)


def _last(path: Path, count: int | None) -> Iterable[str]:
    older = path.with_name(f"{path.name}.1")
    lines = (line.rstrip("\n") for file in (older, path) if file.exists() for line in _lines(file))
    return lines if count is None else deque(lines, maxlen=count)


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
