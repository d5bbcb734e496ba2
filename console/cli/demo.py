"""``meshscope demo``: everything at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.client import Client, ServerError, with_client
from console.datadir import DataDir, DataDirError, default_path

if TYPE_CHECKING:
    from console.demo.supervisor import Demo

Say = Callable[[str], None]

POLL_S = 0.2


@click.group(invoke_without_command=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port of the page; default 20001 or the next free one; 0: any."
)
@click.option("--no-load", is_flag=True, help="Without visitors: the shop runs, and you send the requests.")
@click.option("--data", type=click.Path(path_type=Path), envvar="MESHSCOPE_DATA", help="Where to keep its state.")
@click.pass_context
def demo(context: click.Context, *, port: int | None, no_load: bool, data: Path | None) -> None:
    """Start a shop in a real mesh, with visitors, and open its live graph. Ctrl-C ends all of it."""
    if context.invoked_subcommand is None:
        context.exit(_run(DataDir(data or default_path()), port, load=not no_load))


@demo.command()
@click.argument("mode", type=click.Choice(["slow", "failing", "off"]))
@with_client
def fault(*, mode: str, client: Client) -> None:
    """Make version 2 of the catalog slow or failing, or well again. The graph shows it within seconds."""
    client.post("/demo/fault", {"mode": mode})
    click.echo("catalog v2 is well again" if mode == "off" else f"catalog v2 is {mode} now")


def _run(data: DataDir, port: int | None, *, load: bool) -> int:
    # Not above: `demo fault` must not pay for it.
    from console.cli.mesh import added, end  # noqa: PLC0415
    from console.demo.members import MissingDatabaseError  # noqa: PLC0415
    from console.demo.ports import TakenError, chosen_ports  # noqa: PLC0415
    from console.demo.supervisor import Demo, DemoError  # noqa: PLC0415
    from mesh_runtime.agent.process import leaves  # noqa: PLC0415
    from mesh_runtime.sidecar.binary import SidecarError  # noqa: PLC0415

    began = time.monotonic()

    def say(sentence: str) -> None:
        click.echo(f"  {time.monotonic() - began:5.1f} s  {sentence}")

    async def greet(shop: str) -> None:
        await _greet(data, f"http://127.0.0.1:{ports.page}", shop, say, load=load)

    click.echo(f"Starting the demo; its state is in {data.path}")
    troubles: list[BaseException] = []
    try:
        with chosen_ports(port) as (ports, told):
            for sentence in told:
                say(sentence)
            asyncio.run(_until_told(Demo(data, ports, load=load, say=say), say, greet))
    except* (
        DemoError,
        TakenError,
        SidecarError,
        MissingDatabaseError,
        DataDirError,
        click.ClickException,
        OSError,
    ) as errors:
        troubles.extend(leaves(errors))
    for one in added(data.path):  # what users put beside the shop
        end(one)
    for trouble in troubles:
        click.echo(f"error: {trouble}", err=True)
    if not troubles:
        say("ended; nothing is left running")
    return 1 if troubles else 0


async def _until_told(demo: Demo, say: Say, greet: Callable[[str], Awaitable[None]]) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, then end everything in order; a second one ends everything at once."""
    shop: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def alive(url: str) -> None:
        if not shop.done():
            shop.set_result(url)

    async def greet_visitor() -> None:
        await greet(await shop)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(demo.run(alive))
        greeting = group.create_task(greet_visitor())

        def end() -> None:
            if running.cancelling():
                os._exit(1)  # the kernel tells the others
            say("ending; once more to end at once")
            greeting.cancel()
            running.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, end)


async def _greet(data: DataDir, page: str, shop: str, say: Say, *, load: bool) -> None:
    """Say where to look once there is something to see, and what to try."""
    say(f"the shop is open at {shop}")
    if load:
        say(f"{await _first_edges(Client(data=data.path))} live edges")
    where = "" if data.path == default_path() else f" --data {data.path}"
    visitors = [] if load else [f"   Nobody visits yet: send requests to {shop}", ""]
    lines = [
        "",
        *_framed(page),
        "",
        *visitors,
        "   To try:",
        "   - click catalog in the graph, choose Shift traffic, drag, apply, undo",
        f"   - make version 2 fail:  {_ourselves()} demo fault failing{where}",
        f"   - look at the proxies:  {_ourselves()} proxy-status{where}",
        "   - Ctrl-C here ends all of it",
        "",
    ]
    click.echo("\n".join(lines))


async def _first_edges(client: Client) -> int:
    """Wait until the live graph shows traffic, and count what it shows."""
    while True:
        with contextlib.suppress(ServerError):
            graph = await asyncio.to_thread(client.get, "/graph", window=10)
            if edges := [edge for edge in graph["edges"] if edge["rate"]]:
                return len(edges)
        await asyncio.sleep(POLL_S)


def _framed(text: str) -> list[str]:
    bar = "─" * (len(text) + 6)
    return [f"   ┌{bar}┐", f"   │   {click.style(text, bold=True)}   │", f"   └{bar}┘"]


def _ourselves() -> str:
    """Return how this program was called, to be called so again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m console"
    with contextlib.suppress(ValueError):
        return str(called.resolve().relative_to(Path.cwd()))
    return str(called)
