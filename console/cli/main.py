"""The command ``meshscope``. Each subcommand's module is imported when it is used: agents stay light."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("console.cli.demo", "Start a real mesh with live traffic and open its console."),
    "up": ("console.cli.up", "Start the console, its collectors and the control plane."),
    "run": ("console.cli.run", "Run a command behind a sidecar of the mesh."),
    "add-to-mesh": ("console.cli.mesh", "Put a sidecar before an application that is already running."),
    "remove-from-mesh": ("console.cli.mesh", "Take such a sidecar away again."),
    "gateway": ("console.cli.gateway", "Run a gateway of the mesh."),
    "apply": ("console.cli.config", "Write config objects from files."),
    "delete": ("console.cli.config", "Delete config objects."),
    "get": ("console.cli.config", "Show config objects."),
    "diff": ("console.cli.config", "Compare files with the live config."),
    "history": ("console.cli.config", "List revisions, or show what one changed."),
    "rollback": ("console.cli.config", "Return to a revision, as a new one."),
    "proxy-status": ("console.cli.proxies", "Show what each Envoy has acknowledged."),
    "proxy-config": ("console.cli.proxies", "Show the configuration of one Envoy."),
    "certificates": ("console.cli.certificates", "List workloads' certificates, or replace them."),
    "graph": ("console.cli.graph", "Print the traffic graph, and answer questions about it."),
    "compare": ("console.cli.compare", "Say what is different between two moments."),
    "logs": ("console.cli.logs", "Print, search and follow logs of applications and proxies."),
    "tap": ("console.cli.tap", "Watch requests as proxies see them."),
    "wizard": ("console.cli.wizard", "Plan and apply a change of traffic."),
    "doctor": ("console.cli.doctor", "Check the machine and every source, and say what to do."),
    "scrape-config": ("console.cli.scrape_config", "Print the jobs by which a Prometheus collects from the server."),
    "completion": ("console.cli.completion", "Print the completion script for a shell."),
}
"""Name to module and one line of help; in the module the command is called like its name."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and lines without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List in the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve; an unknown command is told with those that exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as trouble:
            raise click.UsageError(f"{trouble.message} There are: {', '.join(COMMANDS)}.", ctx) from trouble


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="meshscope", message="%(prog)s %(version)s")
def main(**_: Any) -> None:
    """Observe and steer a service mesh: its live graph, its config, its proxies."""
