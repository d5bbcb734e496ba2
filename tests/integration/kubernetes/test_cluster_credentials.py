"""How we prove who we are, and how a cluster does: TLS, plugins, and the words when either fails."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import TOKEN, ApiServer
from cluster_objects import deployment
from cluster_rig import PATIENCE_S, following, write_kubeconfig
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


def asked(path: Path, script: str) -> dict[str, dict[str, str]]:
    """A credential plugin, as cloud providers have them, that does this."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


def plugin(path: Path, answer: str) -> dict[str, dict[str, str]]:
    """A credential plugin that writes this."""
    return asked(path, f"cat <<'END'\n{answer}\nEND")


async def test_a_cluster_is_known_by_its_authority(secured: ApiServer, tmp_path: Path) -> None:
    secured.put(deployment("front"))
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", tls=trusting(AUTHORITY), prod=secured.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))


async def test_nobody_is_told_a_token_who_has_another_authority(secured: ApiServer, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", tls=trusting(OwnCA("another")), prod=secured.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: bool(seen.watch.state.error))
        assert "its certificate cannot be trusted: unable to get local issuer" in followed.watch.state.error


async def test_a_server_whose_certificate_is_over_is_told(tmp_path: Path) -> None:
    server = ApiServer(tls=AUTHORITY.server(AUTHORITY.issue("127.0.0.1", days=-1)))
    await server.start()
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", tls=trusting(AUTHORITY), prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: bool(seen.watch.state.error))
        assert "cannot be trusted: certificate has expired" in followed.watch.state.error
    await server.stop()


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


async def test_a_plugin_is_told_of_the_cluster_where_it_wants_to_be(secured: ApiServer, tmp_path: Path) -> None:
    secured.put(deployment("front"))
    answer = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": TOKEN}}
    script = f"echo \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/told; echo '{json.dumps(answer)}'"
    user = asked(tmp_path / "plugin", script)
    user["exec"] |= {"provideClusterInfo": True, "command": "./plugin"}
    settings = {"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "prod"}}]}
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfig", user=user, tls=trusting(AUTHORITY) | settings, prod=secured.url
    )
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
    cluster = json.loads((tmp_path / "told").read_text())["spec"]["cluster"]
    assert cluster == {"server": secured.url, "config": {"audience": "prod"}} | trusting(AUTHORITY)


async def test_a_plugin_that_must_ask_somebody_is_not_started(server: ApiServer, tmp_path: Path) -> None:
    user = asked(tmp_path / "plugin", f"touch {tmp_path}/started")
    user["exec"]["interactiveMode"] = "Always"
    assert "wants to ask somebody" in await told(user, server, tmp_path)
    assert not (tmp_path / "started").exists()


def id_token(expires_s: float) -> str:
    """An ID token that nobody has signed."""
    claims = json.dumps({"exp": expires_s, "name": "Žofie ÿÿÿ"}, ensure_ascii=False)
    return f"e30.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.x"


async def told(user: dict[str, object], server: ApiServer, tmp_path: Path, **settings: float) -> str:
    """What is said of a user's credentials, as long as they do not work."""
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", user=user, prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig), **settings)) as followed:
        await followed.until(lambda seen: bool(seen.watch.state.error))
        return followed.watch.state.error


async def test_a_plugin_that_fails_is_told_in_its_own_words(server: ApiServer, tmp_path: Path) -> None:
    said = await told(asked(tmp_path / "plugin", "echo 'log in first' >&2; exit 1"), server, tmp_path)
    assert "log in first" in said
    assert "writes no ExecCredential" in await told(plugin(tmp_path / "plugin", "{}"), server, tmp_path)
    other = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1", "status": {"token": TOKEN}})
    assert "v1beta1; it should be" in await told(plugin(tmp_path / "plugin", other), server, tmp_path)
    absent = {"exec": {"apiVersion": "v1", "command": "no-such-plugin", "installHint": "Install it from here."}}
    assert (await told(absent, server, tmp_path)).endswith(
        "the credential plugin no-such-plugin: No such file or directory. Install it from here."
    )


async def test_a_plugin_that_waits_for_somebody_is_ended_with_all_that_it_started(
    server: ApiServer, tmp_path: Path
) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    said = await told(asked(tmp_path / "plugin", script), server, tmp_path, timeout_s=0.5)
    assert "did not answer in 0.5 s" in said
    if (tmp_path / "pid").exists():  # in half a second it may have come to nothing yet
        status = Path("/proc") / (tmp_path / "pid").read_text().strip() / "status"
        async with asyncio.timeout(PATIENCE_S):
            while status.exists() and "State:\tZ" not in status.read_text():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)


async def test_an_id_token_is_used_until_it_expires(server: ApiServer, tmp_path: Path) -> None:
    def user(expires_s: float) -> dict[str, object]:
        config = {"id-token": id_token(expires_s), "refresh-token": "secret", "idp-issuer-url": server.url}
        return {"auth-provider": {"name": "oidc", "config": config}}

    good = user(time.time() + 3600)
    server.token = good["auth-provider"]["config"]["id-token"]  # type: ignore[index]
    server.put(deployment("front"))
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", user=good, prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
    assert "have kubectl renew it" in await told(user(time.time() - 3600), server, tmp_path)


async def test_a_client_certificate_is_shown_and_one_that_is_over_is_told(tmp_path: Path) -> None:
    def user(days: int) -> dict[str, object]:
        pair = AUTHORITY.issue("reader", days=days)
        parts = {"client-certificate-data": pair.pem, "client-key-data": pair.key_pem}
        return {name: base64.b64encode(text.encode()).decode() for name, text in parts.items()}

    server = ApiServer(tls=AUTHORITY.server(AUTHORITY.issue("127.0.0.1"), clients=AUTHORITY), token="")
    await server.start()
    server.put(deployment("front"))
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, user=user(1), tls=trusting(AUTHORITY), prod=server.url)
    async with following(ClusterConfig(kubeconfig=str(kubeconfig))) as followed:
        await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
    assert f"the client certificate in {kubeconfig} expired at" in await told(user(-1), server, tmp_path)
    await server.stop()


class TestInCluster:
    """As a pod's service account."""

    @pytest.fixture
    def account(self, secured: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """What Kubernetes gives a pod."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(secured.port))
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "ca.crt").write_text(AUTHORITY.pem)
        return tmp_path

    async def test_a_pods_account_is_used_and_its_new_token_when_the_old_one_is_over(
        self, secured: ApiServer, account: Path
    ) -> None:
        secured.put(deployment("front"))
        async with following(ClusterConfig(in_cluster=True, service_account=str(account))) as followed:
            await followed.until(lambda seen: seen.has("Deployment", "front-v1"))
            secured.token = "the-next-token"
            (account / "token").write_text(secured.token)
            secured.end_watches()
            secured.put(deployment("back"))
            await followed.until(lambda seen: seen.has("Deployment", "back-v1") and not seen.watch.state.error)

    async def test_who_is_in_no_pod_is_told(self, account: Path) -> None:
        (account / "token").unlink()
        async with following(ClusterConfig(in_cluster=True, service_account=str(account))) as followed:
            await followed.until(lambda seen: bool(seen.watch.state.error))
            assert "elsewhere give a context" in followed.watch.state.error


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
