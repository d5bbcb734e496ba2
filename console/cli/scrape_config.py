"""``scrape-config``: what a Prometheus needs to collect from us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from console.cli.options import data_option
from console.datadir import DataDir, DataDirError


@click.command()
@data_option
@click.option("--address", metavar="HOST:PORT", help="How the Prometheus reaches the server; as the server is told.")
@click.option("--token-file", metavar="PATH", help="Where the Prometheus finds the token; DATA/token if there is one.")
def scrape_config(*, data: Path, address: str | None, token_file: str | None) -> None:
    """Print the jobs by which a Prometheus scrapes the server's graph and its mesh's proxies.

    The graph comes in Istio's standard metrics from /metrics; the proxies are discovered by /api/v1/sd, and their
    statistics read through the server. A server that is reached from elsewhere wants its token from every visitor:
    Prometheus sends what the file holds, so copy it to where Prometheus runs. The address must be the server's own, or
    a name that was given with `up --allow-host`.
    """
    directory = DataDir(data)
    try:
        server = directory.read_server()
    except DataDirError as trouble:
        raise click.ClickException(str(trouble)) from trouble
    own = directory.path / "token"
    known = token_file or (str(own.resolve()) if own.exists() else "")
    click.echo(
        yaml.safe_dump({"scrape_configs": _jobs(address or server.url.partition("://")[2], known)}, sort_keys=False)
    )


def _jobs(address: str, token_file: str) -> list[dict[str, Any]]:
    # The type is said, though it is the default: older versions forget it in http_sd_configs.
    known = {"authorization": {"type": "Bearer", "credentials_file": token_file}} if token_file else {}
    return [
        {"job_name": "meshscope", "static_configs": [{"targets": [address]}], **known},
        {"job_name": "mesh", "http_sd_configs": [{"url": f"http://{address}/api/v1/sd", **known}], **known},
    ]
