"""What a server is and which metrics it holds: seldom asked, by prometheus-api-client in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.util.retry import Retry

from collectors.errors import CollectorError
from collectors.prometheus.client import PrometheusClient
from graph.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The metrics of a server."""

    names: frozenset[str]
    types: Mapping[str, str] = field(default_factory=dict)
    """Metric to ``counter``, ``histogram`` …, as far as the server knows."""


class Catalogue:
    """Looks a server up, with the same credentials as its :class:`PrometheusClient`."""

    def __init__(self, client: PrometheusClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def contents(self) -> Contents:
        """Every metric of the last hour. A :class:`CollectorError` where the server does not answer."""
        return await asyncio.to_thread(self._contents)

    def _contents(self) -> Contents:
        now_s = self._clock.now_ms() // 1000
        try:
            with self._connect() as connect:
                # Servers answer with all they ever held, unless they are told a time.
                names = connect.get_label_values("__name__", params={"start": now_s - 3600, "end": now_s + 3600})
                return Contents(names=frozenset(map(str, names)), types=_types(connect))
        except (RequestException, PrometheusApiClientException, OSError, ValueError, KeyError) as trouble:
            raise CollectorError(self._client.told(f"does not list its metrics: {_short(trouble)}")) from None

    def _connect(self) -> PrometheusConnect:
        config = self._client.config
        session = Session()
        session.trust_env = False
        session.max_redirects = 0
        session.verify = False if config.insecure_skip_verify else config.ca_file or True
        if config.cert_file:
            session.cert = (config.cert_file, config.key_file) if config.key_file else config.cert_file
        connect = PrometheusConnect(
            url=config.url,
            headers=self._client.headers(),
            session=session,
            timeout=config.timeout_s,
            retry=Retry(total=0),
        )
        if config.server_name:
            session.mount(config.url, _NamedHost(config.server_name))
        return connect


class _NamedHost(HTTPAdapter):
    """Expects another name in the certificate than the address's host."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, server_hostname=self._name, assert_hostname=self._name)


def _types(connect: PrometheusConnect) -> dict[str, str]:
    """Metadata is a help, no need: Thanos without sidecars and older VictoriaMetrics have none."""
    try:
        known = connect.get_metric_metadata("")
    except (RequestException, PrometheusApiClientException, ValueError, KeyError, TypeError):
        return {}
    return {one["metric_name"]: str(one.get("type", "")) for one in known if "metric_name" in one}


def _short(trouble: Exception) -> str:
    """The first cause's own words; requests' sentences hold whole addresses."""
    reason = getattr(trouble.args[0] if trouble.args else None, "reason", None)
    return " ".join(str(reason or trouble).split())[:200]
