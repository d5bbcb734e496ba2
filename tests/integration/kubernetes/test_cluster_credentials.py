"""How we prove who we are, and how a cluster does: TLS, plugins, and the words when either fails."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import TOKEN, ApiServer
from cluster_objects import deployment
from cluster_rig import following, write_kubeconfig
from own_ca import OwnCA

from collectors.errors import CollectorError
from collectors.kubernetes.config import ClusterConfig, apart
from collectors.kubernetes.credentials import check

AUTHORITY = OwnCA()


@pytest.fixture
async def secured() -> AsyncIterator[ApiServer]:
    """A cluster that speaks TLS, as all real ones do."""
    server = ApiServer(tls=AUTHORITY.server(AUTHORITY.issue("127.0.0.1")))
    await server.start()
    yield server
    await server.stop()


def trusting(authority: OwnCA) -> dict[str, str]:
    """What a kubeconfig says of an authority."""
    return {"certificate-authority-data": base64.b64encode(authority.pem.encode()).decode()}


def plugin(path: Path, answer: str) -> dict[str, object]:
    """A credential plugin, as cloud providers have them, that writes this."""
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


async def test_a_cluster_is_known_by_its_authority(secured: ApiServer, tmp_path: Path) -> None:
    secured.put(deployment("front"))
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", tls=trusting(AUTHORITY), prod=secured.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))


async def test_nobody_is_told_a_token_who_has_another_authority(secured: ApiServer, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", tls=trusting(OwnCA("another")), prod=secured.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: bool(seen.watch.state.error))
        assert "certificate verify failed" in followed.watch.state.error


async def test_a_plugin_is_asked_for_credentials(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.put(deployment("front"))
    credential = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": TOKEN}}
    user = plugin(tmp_path / "plugin", json.dumps(credential))
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", user=user, prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
    assert TOKEN not in caplog.text


async def test_a_plugin_that_fails_is_told(server: ApiServer, tmp_path: Path) -> None:
    user = plugin(tmp_path / "plugin", "log in first")
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", user=user, prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig), context="prod")) as followed:
        await followed.until(lambda seen: bool(seen.watch.state.error))
        assert "renew the credentials" in followed.watch.state.error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no kubeconfig with contexts"),
        ("{contexts: 1}", "there is no kubeconfig with contexts"),
        ("[", "there is no kubeconfig with contexts"),
    ],
)
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(CollectorError, match=complaint):
        check(ClusterConfig(kubeconfig=str(tmp_path / "kubeconfig")))


def test_several_clusters_are_called_by_their_contexts_and_never_alike() -> None:
    both = apart([ClusterConfig(context="kind-a"), ClusterConfig(context="kind-b", name="west")])
    assert [one.name for one in both] == ["kind-a", "west"]
    assert apart([ClusterConfig(context="kind-a")])[0].name == ""
    with pytest.raises(CollectorError, match="several clusters are called kind-a"):
        apart([ClusterConfig(context="kind-a"), ClusterConfig(name="kind-a")])
