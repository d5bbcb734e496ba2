"""``meshscope run``: a command behind a sidecar."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from console.datadir import DataDir, DataDirError, default_path
from mesh_runtime.agent.client import AgentError
from mesh_runtime.agent.member import Member
from mesh_runtime.agent.process import Plan, Ready, carry_out, leaves
from mesh_runtime.registration import PROTOCOLS, InvalidRegistrationError, Registration
from mesh_runtime.registry import Role
from mesh_runtime.sidecar.binary import SidecarError


def labels_of(_context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]) -> Mapping[str, str]:
    """Read ``--label k=v`` options."""
    labels = dict(pair.partition("=")[::2] for pair in pairs)
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE")
    return labels


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="MESHSCOPE_DATA",
    default=default_path,
    help="Data directory of the server on this machine.",
)
label_option = click.option(
    "--label", "labels", multiple=True, callback=labels_of, help="A label, KEY=VALUE; repeatable."
)
namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="Its namespace.")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--service", required=True, help="The service that it is a workload of.")
@click.option(
    "--port", type=click.IntRange(1, 65535), required=True, help="Where CMD listens on 127.0.0.1; it finds it in $PORT."
)
@namespace_option
@click.option("--version", default="", help="Its version, such as v2.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="http", show_default=True, help="What it speaks.")
@click.option("--service-account", default="", help="Whose identity it gets; default: the service's name.")
@label_option
@data_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    *,
    service: str,
    port: int,
    namespace: str,
    version: str,
    protocol: str,
    service_account: str,
    labels: Mapping[str, str],
    data: Path,
    command: tuple[str, ...],
) -> None:
    """Run CMD behind a sidecar of the mesh, and register both.

    CMD finds its port in $PORT, its way into the mesh in $http_proxy, raw TCP services in <SERVICE>_HOST and
    <SERVICE>_PORT, and OpenTelemetry's variables. It ends with Ctrl-C, after requests in flight have been
    answered; when it ends by itself, its exit code is this command's.
    """
    registration = valid_registration(
        role=Role.SIDECAR,
        namespace=namespace,
        service=service,
        version=version,
        service_account=service_account,
        labels=labels,
        port=port,
        protocol=protocol,
    )
    start(data, Member(registration=registration, command=command), lambda addresses: _say(addresses, port))


def valid_registration(**fields: object) -> Registration:
    """Make a registration, or tell the user which option is wrong."""
    try:
        return Registration(**fields)  # type: ignore[arg-type]
    except InvalidRegistrationError as trouble:
        raise click.UsageError(str(trouble)) from trouble


def start(data: Path, member: Member, ready: Ready) -> None:
    """Be the agent of one member of the server's mesh until it ends; then end with its exit code."""
    directory = DataDir(data)
    try:
        server = directory.read_server()
        plan = Plan(
            server=Path(server.socket),
            run_dir=directory.run_dir(),
            logs=directory.path / "logs",
            members=(member,),
            otlp=server.otlp_grpc,
        )
    except DataDirError as trouble:
        raise click.ClickException(str(trouble)) from trouble
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
