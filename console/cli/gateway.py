"""``meshscope gateway``: an Envoy at the edge of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from console.cli.options import data_option, namespace_option
from console.cli.run import label_option, ports_of, start, valid_registration
from mesh_runtime.agent.member import Member
from mesh_runtime.registry import Role


@click.command()
@click.argument("name")
@namespace_option
@click.option("--address", default="", help="Listen on this IP address instead of a loopback one of the mesh.")
@click.option(
    "--service-port",
    "ports",
    multiple=True,
    callback=ports_of,
    help="A port of the Service by which members of the mesh call it, NAME=PORT, as https=443 of an egress gateway;"
    " repeatable. The Service is made where there is none.",
)
@label_option
@data_option
def gateway(
    *, name: str, namespace: str, address: str, ports: Mapping[str, int], labels: Mapping[str, str], data: Path
) -> None:
    """Run a gateway of the mesh until Ctrl-C. Its ports and hosts come from the Gateway objects that select it."""
    registration = valid_registration(
        role=Role.GATEWAY,
        namespace=namespace,
        service=name,
        address=address,
        ports=ports,
        labels={"app": name, **labels},
    )
    start(data, Member(registration=registration), _say)


def _say(addresses: Mapping[str, str]) -> None:
    for key, address in addresses.items():
        click.echo(f"{key} listens at {address}, on the ports of the Gateways that select it", err=True)
