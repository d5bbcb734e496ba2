"""Credential plugins: programs, such as those of cloud providers, that say who we are to one cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any

from collectors.errors import CollectorError


async def credential(plugin: Mapping[str, Any], cluster: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
    """Run the plugin of a kubeconfig's user, and return the ``status`` of what it writes.

    https://kubernetes.io/docs/reference/config-api/client-authentication.v1/. It has no terminal to ask at; of the
    *cluster* it is told where it wants to be. Raises :class:`CollectorError` in the plugin's own words; one that is
    late is ended, with all that it has started.
    """
    name = plugin["command"]
    if plugin.get("interactiveMode") == "Always":
        raise CollectorError(
            f"the credential plugin {name} wants to ask somebody (interactiveMode: Always), and nobody is here"
        )
    process = _start(plugin, cluster if plugin.get("provideClusterInfo") else {})
    try:
        written, complaint = await asyncio.to_thread(process.communicate, timeout=timeout_s)
    except TimeoutExpired:
        _end(process)
        process.communicate()  # to the end, which is now
        raise CollectorError(f"the credential plugin {name} did not answer in {timeout_s:g} s") from None
    finally:
        _end(process)
    if process.returncode:
        said = complaint.decode(errors="replace").strip()
        raise CollectorError(f"the credential plugin {name} ended with {process.returncode}: {said}")
    return _status(plugin, written)


def _start(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> Popen[bytes]:
    spec = {"interactive": False, **({"cluster": cluster} if cluster else {})}
    told = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    variables = {one["name"]: one["value"] for one in plugin.get("env") or ()}
    try:
        return Popen(
            [plugin["command"], *(plugin.get("args") or ())],
            env=os.environ | variables | {"KUBERNETES_EXEC_INFO": json.dumps(told)},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
    except OSError as trouble:
        hint = str(plugin.get("installHint") or "").strip()
        raise CollectorError(f"the credential plugin {plugin['command']}: {trouble.strerror}. {hint}".strip()) from None


def _end(process: Popen[bytes]) -> None:
    """Kill it and its children, where it has not ended: then nobody holds its pipes any more, and whoever reads ends."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _status(plugin: Mapping[str, Any], written: bytes) -> Mapping[str, Any]:
    name, wanted = plugin["command"], plugin["apiVersion"]
    try:
        answer = json.loads(written)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("status"), dict):
        raise CollectorError(f"the credential plugin {name} writes no ExecCredential with a status")
    if answer.get("apiVersion") != wanted:
        raise CollectorError(f"the credential plugin {name} writes {answer.get('apiVersion')}; it should be {wanted}")
    status: Mapping[str, Any] = answer["status"]
    return status
