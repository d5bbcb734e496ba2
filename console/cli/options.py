"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from console.datadir import default_path

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="MESHSCOPE_DATA",
    default=default_path,
    help="Data directory of the server on this machine.",
)
settings_option = click.option(
    "--settings",
    type=click.Path(path_type=Path),
    envvar="MESHSCOPE_SETTINGS",
    help="Settings file; meshscope.toml here.",
)
server_option = click.option("--server", envvar="MESHSCOPE_SERVER", default="", help="URL of a server elsewhere.")
token_option = click.option("--token", envvar="MESHSCOPE_TOKEN", default="", help="What the server elsewhere asks for.")
namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="Its namespace.")
output_option = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
