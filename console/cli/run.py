"""``meshscope run``: a command behind a sidecar."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from console.cli.options import data_option, namespace_option
from console.datadir import DataDir, DataDirError
from mesh_runtime.agent.client import AgentError
from mesh_runtime.agent.health import Health
from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.agent.process import Plan, Ready, carry_out, leaves
from mesh_runtime.log_lines import log_to_stderr
from mesh_runtime.registration import PROTOCOLS, InvalidRegistrationError, Registration
from mesh_runtime.registry import Role
from mesh_runtime.sidecar.binary import SidecarError
from mesh_runtime.sidecar.envoy import DRAIN_S


def labels_of(_context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]) -> Mapping[str, str]:
    """Read ``--label k=v`` options."""
    labels = dict(pair.partition("=")[::2] for pair in pairs)
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE")
    return labels


label_option = click.option(
    "--label", "labels", multiple=True, callback=labels_of, help="A label, KEY=VALUE; repeatable."
)


def ports_of(_context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]) -> Mapping[str, int]:
    """Read ``--extra-port name=number`` options."""
    ports = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        if not name or not number.isdecimal() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{pair!r} is not NAME=PORT, such as http-admin=9000")
        ports[name] = int(number)
    return ports


_WORKLOAD_OPTIONS = (
    click.option("--service", required=True, help="The service that it is a workload of."),
    namespace_option,
    click.option("--version", default="", help="Its version, such as v2."),
    click.option(
        "--protocol", type=click.Choice(PROTOCOLS), default="http", show_default=True, help="What its port speaks."
    ),
    click.option(
        "--extra-port",
        "ports",
        multiple=True,
        callback=ports_of,
        help="A further port, NAME=PORT; the name's first word is its protocol, as in http-admin=9000.",
    ),
    click.option("--service-account", default="", help="Whose identity it gets; default: the service's name."),
    click.option("--locality", default="", help="Where it runs, as region/zone/subzone."),
    label_option,
    click.option(
        "--health", "health_path", default="", help="Ready while a GET of this path succeeds, not by the open port."
    ),
    click.option(
        "--health-interval",
        type=click.FloatRange(0.1, 300),
        default=2.0,
        show_default=True,
        help="Seconds between two checks.",
    ),
    click.option(
        "--exec-probe",
        "runs_probes",
        is_flag=True,
        help="Let the probe of its WorkloadGroup run a command here, as you.",
    ),
    data_option,
)


def workload_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe a workload."""
    for option in reversed(_WORKLOAD_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--port", type=click.IntRange(1, 65535), required=True, help="Where CMD listens on 127.0.0.1; it finds it in $PORT."
)
@workload_options
@click.option(
    "--restart",
    type=click.Choice([policy.value for policy in Restart]),
    default=Restart.NEVER.value,
    show_default=True,
    help="Start CMD again when it ends.",
)
@click.option(
    "--drain",
    "drain_s",
    type=click.IntRange(0, 3600),
    default=DRAIN_S,
    show_default=True,
    help="Seconds for requests in flight at the end.",
)
@click.option("--log", "logged", is_flag=True, help="Keep CMD's output for meshscope logs instead of printing it.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    *,
    port: int,
    health_path: str,
    health_interval: float,
    runs_probes: bool,
    restart: str,
    drain_s: int,
    logged: bool,
    data: Path,
    command: tuple[str, ...],
    **workload: Any,
) -> None:
    """Run CMD behind a sidecar of the mesh, and register both.

    CMD finds its port in $PORT, its way into the mesh in $http_proxy, raw TCP services in <SERVICE>_HOST and
    <SERVICE>_PORT, and OpenTelemetry's variables. It gets requests while it is ready. It ends with Ctrl-C, after
    requests in flight have been answered; when it ends by itself, its exit code is this command's.
    """
    member = Member(
        registration=valid_registration(role=Role.SIDECAR, port=port, **workload),
        command=command,
        restart=Restart(restart),
        health=Health(path=health_path, interval_s=health_interval),
        runs_probes=runs_probes,
        logged=logged,
    )
    start(data, member, lambda addresses: _say(addresses, port), drain_s=drain_s)


def valid_registration(**fields: object) -> Registration:
    """Make a registration, or tell the user which option is wrong."""
    try:
        return Registration(**fields)  # type: ignore[arg-type]
    except InvalidRegistrationError as trouble:
        raise click.UsageError(str(trouble)) from trouble


def plan_of(data: Path, member: Member, *, drain_s: int = DRAIN_S) -> Plan:
    """Plan an agent of one member of the server's mesh."""
    directory = DataDir(data)
    try:
        server = directory.read_server()
        return Plan(
            server=Path(server.socket),
            run_dir=directory.run_dir(),
            logs=directory.path / "logs",
            members=(member,),
            otlp=server.otlp_grpc,
            drain_s=drain_s,
        )
    except DataDirError as trouble:
        raise click.ClickException(str(trouble)) from trouble


def start(data: Path, member: Member, ready: Ready, *, drain_s: int = DRAIN_S) -> None:
    """Be the agent of one member of the server's mesh until it ends; then end with its exit code."""
    log_to_stderr(logging.WARNING)
    plan = plan_of(data, member, drain_s=drain_s)
    troubles: list[BaseException] = []
    code = 1
    try:
        code = asyncio.run(carry_out(plan, ready))
    except* (AgentError, SidecarError) as errors:
        troubles.extend(leaves(errors))
    if troubles:
        raise click.ClickException("; ".join(map(str, troubles)))
    sys.exit(code)


def _say(addresses: Mapping[str, str], port: int) -> None:
    for key, address in addresses.items():
        click.echo(f"{key} is in the mesh: its sidecar at {address}, the command at 127.0.0.1:{port}", err=True)
