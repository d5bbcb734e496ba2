"""How we prove to an API server who we are: a kubeconfig's context, or a pod's service account."""

from __future__ import annotations

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

    async def load_from_exec_plugin(self) -> bool:
        """Ask the plugin. The client's own way waits for ever, and goes on without credentials where it fails."""
        status = await credential(self._user["exec"].value, self.plugin_s)
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        if "clientCertificateData" in status:
            self.cert_file, self.key_file = (
                FileOrData(status, None, data_key_name=name, file_base_path="", base64_file_content=False).as_file()
                for name in ("clientCertificateData", "clientKeyData")
            )
        return True

    async def _refresh_oidc(self, _provider: object) -> None:
        """Refuse: the client would send the refresh token to an issuer whose certificate it does not check."""
        raise ConfigException(
            "oidc: the ID token in the kubeconfig has expired; have kubectl renew it, or use the plugin kubelogin"
        )


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
