"""How we prove to an API server who we are: a kubeconfig's context, or the pod's service account."""

from __future__ import annotations

import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, list_kube_config_contexts

from collectors.errors import CollectorError
from collectors.kubernetes.config import ClusterConfig


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

    Raises :class:`CollectorError` that names the kubeconfig and never what is in it.
    """
    settings = Configuration()
    settings.connection_pool_maxsize = 0  # each watch holds a connection
    try:
        if config.in_cluster:
            load_incluster_config(settings)
        else:
            await load_kube_config(
                _kubeconfig(config), config.context or None, client_configuration=settings, persist_config=False
            )
    except ConfigException as trouble:
        raise CollectorError(f"cluster {config.title}: {trouble}") from trouble
    except Exception as trouble:
        raise CollectorError(
            f"cluster {config.title}: the credentials in {_kubeconfig(config)} cannot be read ({type(trouble).__name__})"
        ) from trouble
    return ApiClient(settings)


def _kubeconfig(config: ClusterConfig) -> str:
    return config.kubeconfig or str(KUBE_CONFIG_DEFAULT_LOCATION)
