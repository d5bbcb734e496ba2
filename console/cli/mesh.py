"""``add-to-mesh`` and ``remove-from-mesh``: a sidecar for an application that somebody else runs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from console.cli.options import data_option, namespace_option
from console.cli.run import plan_of, valid_registration, workload_options
from console.datadir import DataDir
from mesh_runtime.agent import wire
from mesh_runtime.agent.files import pid_in
from mesh_runtime.agent.health import Health
from mesh_runtime.agent.member import Member
from mesh_runtime.agent.process import Plan
from mesh_runtime.registry import Role

READY_S = 30.0
GONE_S = 30.0
POLL_S = 0.05


class Added(NamedTuple):
    """An application that was added: where its agent's files are, and who it is in the mesh."""

    plan: Path
    pid: int
    service: str
    namespace: str
    workload: str
    addresses: Mapping[str, str]
    """Address by instance id."""


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), required=True, help="Where the application listens on 127.0.0.1."
)
@workload_options
def add_to_mesh(
    *, port: int, health_path: str, health_interval: float, runs_probes: bool, data: Path, **workload: Any
) -> None:
    """Put a sidecar before an application that is already running. It stays until remove-from-mesh.

    The application gets requests while it is ready. To call others it uses the printed proxy address.
    """
    member = Member(
        registration=valid_registration(role=Role.SIDECAR, port=port, **workload),
        health=Health(path=health_path, interval_s=health_interval),
        runs_probes=runs_probes,
    )
    directory = _directory(data)
    plan = directory / f"{os.getpid()}-{time.time_ns()}.json"
    planned = replace(plan_of(data, member), told=plan.with_suffix(".told"), pid=plan.with_suffix(".pid"))
    plan.touch(mode=0o600)
    plan.write_bytes(wire.encode(planned))
    told = plan.with_suffix(".told")
    _start(plan, told, planned.logs / "agents.log")
    for key, address in json.loads(told.read_text()).items():
        click.echo(f"{key} is in the mesh: its sidecar at {address}, the application at 127.0.0.1:{port}", err=True)
        click.echo(f"http_proxy=http://{address}:15001")


@click.command()
@click.argument("name")
@namespace_option
@data_option
def remove_from_mesh(*, name: str, namespace: str, data: Path) -> None:
    """Drain and end the sidecars that add-to-mesh started for NAME: a service, a workload or an instance."""
    found = [
        one
        for one in added(data)
        if name in one.addresses or (one.namespace == namespace and name in {one.service, one.workload})
    ]
    if not found:
        known = ", ".join(key for one in added(data) for key in one.addresses) or "nothing"
        raise click.ClickException(f"{name} in {namespace} was not added by add-to-mesh; what was: {known}")
    for one in found:
        end(one)
        click.echo(f"{', '.join(one.addresses)} left the mesh", err=True)


def added(data: Path) -> Iterator[Added]:
    """Yield the applications that add-to-mesh has put into the mesh of a data directory, and that are still in it."""
    for path in sorted(_directory(data).glob("*.json")):
        pid = pid_in(path.with_suffix(".pid"))
        if not pid:
            _forget(path)
            continue
        registration = wire.decode(Plan, path.read_bytes()).members[0].registration
        told = path.with_suffix(".told")
        yield Added(
            plan=path,
            pid=pid,
            service=registration.service,
            namespace=registration.namespace,
            workload="-".join(filter(None, (registration.service, registration.version))),
            addresses=json.loads(told.read_text()) if told.exists() else {},
        )


def end(one: Added) -> None:
    """Have an agent drain and end, and wait until it is gone."""
    try:
        handle = os.pidfd_open(one.pid)
    except ProcessLookupError:
        _forget(one.plan)
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], GONE_S)[0]:
            raise click.ClickException(f"the agent {one.pid} of {one.workload} still drains after {GONE_S:.0f} s")
    finally:
        os.close(handle)
    _forget(one.plan)


def _start(plan: Path, told: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "mesh_runtime.agent", str(plan)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + READY_S
    while not told.exists():
        if process.poll() is not None:
            _forget(plan)
            raise click.ClickException(f"the agent ended with code {process.returncode}; {_said(log, begin)}")
        if time.monotonic() > until:
            process.terminate()
            process.wait()
            _forget(plan)
            raise click.ClickException(f"not ready after {READY_S:.0f} s; {_said(log, begin)}")
        time.sleep(POLL_S)


def _said(log: Path, begin: int) -> str:
    """Tell what agents have said since their log was that long."""
    return f"{log} says:\n{log.read_bytes()[begin:].decode(errors='replace').strip()}"


def _directory(data: Path) -> Path:
    directory = DataDir(data).path / "agents"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _forget(plan: Path) -> None:
    for suffix in (".json", ".told", ".pid"):
        plan.with_suffix(suffix).unlink(missing_ok=True)
