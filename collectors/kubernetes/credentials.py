"""How we prove to an API server who we are: a kubeconfig's context, or a pod's service account."""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from kubernetes.aio.config.kube_config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    FileOrData,
    KubeConfigLoader,
    KubeConfigMerger,
    list_kube_config_contexts,
)

from collectors.errors import CollectorError
from collectors.kubernetes.config import ClusterConfig
from collectors.kubernetes.plugin import credential

TOLD = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
EXEC_SETTINGS = "client.authentication.k8s.io/exec"
"""Under this name a cluster has settings for plugins."""

SHOWN = 300
"""Most characters of a complaint."""


def check(config: ClusterConfig) -> None:
    """Raise :class:`CollectorError` where the kubeconfig has no such context; no request is sent."""
    if config.in_cluster:
        return
    where = _kubeconfig(config)
    try:
        contexts, current = list_kube_config_contexts(where)
    except (ConfigException, OSError, yaml.YAMLError, AttributeError, TypeError, KeyError) as trouble:
        raise CollectorError(f"there is no kubeconfig with contexts in {where}; name one in KUBECONFIG") from trouble
    names = [str(context["name"]) for context in contexts]
    wanted = config.context or str(current["name"])
    if wanted not in names:
        raise CollectorError(f"{where} has no context {wanted!r}; it has {', '.join(sorted(names)) or 'none'}")


async def client_of(config: ClusterConfig) -> ApiClient:
    """Make a client with the credentials as they are now: files are read, and credential plugins asked, anew.

    Raises :class:`CollectorError` that names where the credentials are and never what is in them.
    """
    settings = Configuration()
    settings.connection_pool_maxsize = 0  # each watch holds a connection
    where = config.service_account if config.in_cluster else _kubeconfig(config)
    try:
        if config.in_cluster:
            _of_pod(config, settings)
        else:
            await _of_kubeconfig(config, settings)
        if settings.cert_file:
            _check_time(settings.cert_file, where)
    except (ConfigException, CollectorError) as trouble:
        raise CollectorError(f"cluster {config.title}: {str(trouble)[:SHOWN]}") from trouble
    except Exception as trouble:
        raise CollectorError(
            f"cluster {config.title}: the credentials in {where} cannot be read ({type(trouble).__name__})"
        ) from trouble
    return ApiClient(settings)


async def _of_kubeconfig(config: ClusterConfig, settings: Configuration) -> None:
    merged = KubeConfigMerger(_kubeconfig(config)).config
    loader: Any = _Loader(merged, config.context or None, config_base_path=None)  # type: ignore[no-untyped-call]
    loader.plugin_s = config.timeout_s
    await loader.load_and_set(settings)


class _Loader(KubeConfigLoader):
    """The client's reader of kubeconfigs, where a plugin that fails says why, and each secret is sent safely."""

    plugin_s: float
    """Time for a plugin."""
    _user: Any
    _cluster: Any

    async def load_from_exec_plugin(self) -> bool:
        """Ask the plugin. The client's own way waits for ever, and goes on without credentials where it fails."""
        plugin = dict(self._user["exec"].value)
        if os.sep in plugin["command"]:
            plugin["command"] = os.path.join(self._base(self._user), plugin["command"])  # noqa: PTH118 - stays as written
        status = await credential(plugin, self._told_of_cluster(), self.plugin_s)
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        if "clientCertificateData" in status:
            self.cert_file, self.key_file = (
                FileOrData(status, None, data_key_name=name, file_base_path="", base64_file_content=False).as_file()
                for name in ("clientCertificateData", "clientKeyData")
            )
        return True

    def _told_of_cluster(self) -> Mapping[str, Any]:
        """What a plugin may be told of the cluster, in the words of ``ExecCredential``."""
        cluster: Mapping[str, Any] = self._cluster.value
        authority = FileOrData(self._cluster, "certificate-authority", file_base_path=self._base(self._cluster))
        settings = {one["name"]: one["extension"] for one in cluster.get("extensions") or ()}
        told = {name: cluster[name] for name in TOLD if name in cluster}
        told |= {"certificate-authority-data": authority.as_data(), "config": settings.get(EXEC_SETTINGS)}
        return {name: value for name, value in told.items() if value is not None}

    def _base(self, part: Any) -> str:
        """The directory of the kubeconfig that this is written in."""
        return str(self._get_base_path(part.path))  # type: ignore[no-untyped-call]

    async def _load_oid_token(self) -> None:
        """Use the ID token while it is good, and have somebody else renew it.

        The client reads it in another alphabet than tokens are written in (base64url), and would send the refresh
        token to an issuer whose certificate it does not check.
        """
        token = str(self._user["auth-provider"]["config"].value.get("id-token") or "")
        _, _, claims = token.rpartition(".")[0].partition(".")
        if not token or json.loads(urlsafe_b64decode(f"{claims}==")).get("exp", 0) < time.time():
            raise ConfigException(
                "oidc: the ID token in the kubeconfig has expired; have kubectl renew it, or use the plugin kubelogin"
            )
        self.token = f"Bearer {token}"


def _of_pod(config: ClusterConfig, settings: Configuration) -> None:
    """Use what Kubernetes puts into each pod; the token is read again every minute, since it is replaced."""
    account = Path(config.service_account)
    loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"))
    try:
        loader.load_and_set(settings)
    except ConfigException as trouble:
        raise ConfigException(
            f"in_cluster: {trouble} It is for a pod with a service account ({account}); elsewhere give a context"
        ) from trouble


def _check_time(certificate_file: str, where: str) -> None:
    """Raise :class:`ConfigException` for a client certificate that is over: servers just close the connection."""
    over = x509.load_pem_x509_certificate(Path(certificate_file).read_bytes()).not_valid_after_utc
    if over < datetime.now(UTC):
        raise ConfigException(f"the client certificate in {where} expired at {over:%Y-%m-%d %H:%M} UTC; renew it")


def _kubeconfig(config: ClusterConfig) -> str:
    return config.kubeconfig or str(KUBE_CONFIG_DEFAULT_LOCATION)
