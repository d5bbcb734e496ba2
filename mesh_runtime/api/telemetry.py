"""Telemetry: which metrics, access logs and traces proxies make (``telemetry.istio.io``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api import cel
from mesh_runtime.api.log_format import LogFormat
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.security import Targeted
from mesh_runtime.api.spec import Flaw, Many, Spec, text
from mesh_runtime.api.values import Duration, HeaderName

_TAG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")

_WHEN_ENDED: Final = (
    "a connection's bytes are added when it ends; until then envoy_tcp_downstream_cx_rx_bytes_total and "
    "envoy_tcp_downstream_cx_tx_bytes_total have them"
)

Mode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
Metric = Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]

METRIC_NAMES: Final[Mapping[str, str]] = {
    "REQUEST_COUNT": "requests_total",
    "REQUEST_DURATION": "request_duration_milliseconds",
    "REQUEST_SIZE": "request_bytes",
    "RESPONSE_SIZE": "response_bytes",
    "GRPC_REQUEST_MESSAGES": "request_messages_total",
    "GRPC_RESPONSE_MESSAGES": "response_messages_total",
    "TCP_OPENED_CONNECTIONS": "tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "tcp_connections_closed_total",
    "TCP_SENT_BYTES": "tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "tcp_received_bytes_total",
}
"""What Telemetry calls the metrics, and the metrics' own names, after ``istio_``."""


def _tag_name(name: str) -> str | None:
    return None if len(name) <= 128 and _TAG_NAME.fullmatch(name) else f"{quoted(name)} is not the name of a label"


def _span_tag(name: str) -> str | None:
    return None if len(name) <= 256 and _PRINTABLE.fullmatch(name) else f"{quoted(name)} is not the name of a tag"


def _variable(name: str) -> str | None:
    return None if _VARIABLE.fullmatch(name) else f"{quoted(name)} is not the name of a variable"


Expression = Annotated[str, AfterValidator(text(cel.complaint, "use Envoy's attributes, such as response.code"))]
TagName = Annotated[str, AfterValidator(text(_tag_name, "use letters, digits and '_'"))]
Text = Annotated[str, Field(min_length=1, max_length=1024)]


class ProviderRef(Spec):
    """A provider of the MeshConfig, or one that is built in: ``prometheus``, ``envoy``."""

    name: str = Field(min_length=1)


class Selector(Spec):
    """Where something holds: as caller (``CLIENT``, also gateways), as workload that is called, or both."""

    mode: Mode = "CLIENT_AND_SERVER"

    def covers(self, side: str) -> bool:
        """Tell whether it holds on a side, ``CLIENT`` or ``SERVER``."""
        return self.mode in ("CLIENT_AND_SERVER", side)


class MetricSelector(Selector):
    """A metric, where it is counted."""

    metric: Metric = "ALL_METRICS"
    custom_metric: Annotated[str, Field(min_length=1, max_length=256)] = ""
    """A metric by its own name, with ``istio_`` or without. One that proxies do not make says nothing, as in Istio."""

    def flaws(self) -> Iterator[Flaw]:
        """One name."""
        yield from self.one_of("metric", "custom_metric", needed=False)

    @property
    def is_of_all(self) -> bool:
        """Whether no metric is named."""
        return self.metric == "ALL_METRICS" and not self.custom_metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are meant, by Telemetry's names of them."""
        if self.is_of_all:
            return tuple(METRIC_NAMES)
        own = self.custom_metric.removeprefix("istio_")
        return tuple(name for name, known in METRIC_NAMES.items() if own == known) if own else (self.metric,)


class TagOverride(Spec):
    """A label that is added, changed or removed."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: Expression | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A value is what is inserted."""
        if self.operation == "UPSERT" and self.value is None:
            yield Flaw(("value",), "UPSERT needs it", "write an expression, such as request.host or 'text'")
        if self.operation == "REMOVE" and self.value is not None:
            yield Flaw(("value",), "REMOVE has no use for it", "remove it")


class MetricsOverrides(Spec):
    """What is different about a metric."""

    match: MetricSelector = Field(default_factory=MetricSelector)
    disabled: bool | None = None
    tag_overrides: dict[TagName, TagOverride] = Field(default_factory=dict)


class Metrics(Spec):
    """Whose metrics, and what is different about them."""

    providers: Many[ProviderRef] = ()
    overrides: Many[MetricsOverrides] = ()
    reporting_interval: Duration | None = None
    """Has no effect, of which whoever applies it is told: see :attr:`Telemetry.without_effect`."""


class LogFilter(Spec):
    """Which requests and connections are logged."""

    expression: Expression


class AccessLogging(Spec):
    """Where access is logged, and which."""

    match: Selector | None = None
    providers: Many[ProviderRef] = ()
    disabled: bool = False
    filter: LogFilter | None = None


class Literally(Spec):
    """A text."""

    value: Text


class FromEnvironment(Spec):
    """A variable of the proxy's environment."""

    name: Annotated[str, AfterValidator(text(_variable))]
    default_value: str = Field(default="", max_length=1024)


class FromHeader(Spec):
    """A header of the request."""

    name: HeaderName
    default_value: str = Field(default="", max_length=1024)


class FromFormat(Spec):
    """What an access log's format makes of the request, such as ``%REQ(:path)%``."""

    value: Annotated[LogFormat, Field(min_length=1)]


class CustomTag(Spec):
    """A tag that spans get."""

    literal: Literally | None = None
    environment: FromEnvironment | None = None
    header: FromHeader | None = None
    formatter: FromFormat | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One source."""
        yield from self.one_of("literal", "environment", "header", "formatter")


CustomTags = dict[
    Annotated[str, AfterValidator(text(_span_tag, "write it in one line"))],
    CustomTag,
]


class Tracing(Spec):
    """Which requests make spans, who takes them, and what they say."""

    match: Selector | None = None
    providers: Many[ProviderRef] = ()
    """Of several, the first."""
    random_sampling_percentage: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    disable_span_reporting: bool | None = None
    disable_context_propagation: bool | None = None
    """Requests get no headers that would continue their trace; those that they came with stay."""
    custom_tags: CustomTags | None = None
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None


class Telemetry(Targeted):
    """Metrics, access logs and traces: of the mesh (in the root namespace), a namespace, or workloads."""

    metrics: Many[Metrics] = ()
    access_logging: Many[AccessLogging] = ()
    tracing: Many[Tracing] = ()

    @property
    def without_effect(self) -> Iterator[str]:
        """Which fields mean nothing here, and what there is instead."""
        for index, one in enumerate(self.metrics):
            if one.reporting_interval:
                yield f"spec.metrics[{index}].reportingInterval has no effect: {_WHEN_ENDED}"
