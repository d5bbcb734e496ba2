"""``tap``: requests as proxies see them, while they happen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from console.cli.client import Client, with_client
from console.cli.options import output_option
from graph.durations import milliseconds

PATH_CHARS = 60


@click.command()
@click.option("-n", "--namespace", default="", help="Only requests from, to or within it.")
@click.option("--from", "source", default="", help="A workload or app; NAME.NAMESPACE where that is needed.")
@click.option("--to", "target", default="", help="A workload, app or service.")
@click.option("--path", default="", help="Beginning of the path, or a pattern with *.")
@click.option("--method", default="", help="GET, POST and so on.")
@click.option("--status", default="", help="503, 5xx, or several with commas.")
@click.option("--errors", is_flag=True, help="Only requests that failed.")
@click.option("--min-ms", type=click.FloatRange(0), default=0.0, help="Only requests that took at least so long.")
@click.option(
    "--recent", type=click.IntRange(0, 10_000), default=10, show_default=True, help="Begin with the last ones."
)
@click.option("--no-follow", is_flag=True, help="Only what the server still has.")
@click.option("--no-switch", is_flag=True, help="Leave the config alone: see only what proxies log anyway.")
@output_option
@with_client
def tap(
    client: Client, *, recent: int, no_follow: bool, no_switch: bool, output: str, min_ms: float, **wanted: Any
) -> None:
    """Watch requests as proxies see them.

    Proxies tell of requests by their access logs. Those concerned are told to write them while this runs, and no longer,
    by a Telemetry of its own; what else your config says of them holds.
    """
    query = {**wanted, "minMs": min_ms or None, "limit": recent}
    if no_follow:
        answer = client.get("/tap", **query)
        if answer["hint"] and not answer["items"]:
            _advise(answer["hint"])
        for one in answer["items"]:
            _print(one, output)
        return
    for message in client.lines("/tap", **query, follow="true", switch=str(not no_switch).lower()):
        match message["type"]:
            case "hint":
                _advise(message)
            case "missed":
                click.echo(f"… {message['count']} requests were too fast to be shown; narrow it down", err=True)
            case _:
                _print(message, output)


def _advise(hint: Mapping[str, Any]) -> None:
    click.echo(f"{hint['message']}:\n\n{hint['manifest']}" if hint["manifest"] else hint["message"], err=True)


def _print(request: Mapping[str, Any], output: str) -> None:
    click.echo(json.dumps(request, ensure_ascii=False) if output == "json" else _line(request))


def _line(request: Mapping[str, Any]) -> str:
    at = datetime.fromisoformat(request["at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    path = request["path"] if len(request["path"]) <= PATH_CHARS else request["path"][: PATH_CHARS - 1] + "…"
    what = (
        f"{request['method']} {path}"
        if request["method"]
        else f"tcp {request['receivedBytes']}/{request['sentBytes']} B"
    )
    said = [
        request["code"] if request["method"] else "",
        request["flags"],
        f"grpc {request['grpc']}" if request["grpc"] else "",
    ]
    status = " ".join(one for one in said if one)
    colour = "red" if request["failed"] else None
    ends = f"{_name(request['source'], None)} → {_name(request['target'], request['service'])}"
    return f"{at}  {ends}  {what}  {click.style(status, fg=colour)}  {milliseconds(request['durationMs'])}"


def _name(workload: Mapping[str, str] | None, service: Mapping[str, str] | None) -> str:
    if workload:
        return workload["workload"]
    return service["name"] if service else "unknown"
