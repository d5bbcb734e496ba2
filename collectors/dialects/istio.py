"""Istio's standard metrics, as Istio's proxies, its ambient mode and our own Envoys expose them."""

from __future__ import annotations

from collectors.dialects.dialect import (
    Amount,
    Dialect,
    Gap,
    Identity,
    Labels,
    Latency,
    LatencyBucket,
    LatencySum,
    ListenerBytes,
    Measure,
    Need,
    Requests,
    Sign,
    Tcp,
    first_known,
)
from collectors.dialects.words import owner_of
from graph.model import UNKNOWN, EdgeKey, Outcome, Protocol, Reporter, Security, ServiceRef, WorkloadRef

REPORTERS = {
    "source": Reporter.SOURCE,
    "destination": Reporter.DESTINATION,
    "waypoint": Reporter.WAYPOINT,
}

TCP_FIELDS = {
    # Both reporters count from the listener's side, where the caller is "downstream": received is what the
    # source sent. https://github.com/istio/istio/issues/32399
    "istio_tcp_received_bytes_total": "sent_bytes",
    "istio_tcp_sent_bytes_total": "received_bytes",
    "istio_tcp_connections_opened_total": "opened",
    "istio_tcp_connections_closed_total": "closed",
}

AMOUNTS = {
    "istio_request_messages_total": "request_messages",
    "istio_response_messages_total": "response_messages",
    "istio_request_bytes_sum": "request_bytes",
    "istio_response_bytes_sum": "response_bytes",
}

LISTENER_FIELDS = {
    "envoy_tcp_downstream_cx_rx_bytes_total": "sent_bytes",
    "envoy_tcp_downstream_cx_tx_bytes_total": "received_bytes",
}
INBOUND = "inbound"

CLOSED = "istio_tcp_connections_closed_total"
NOBODY_REACHED = {"UF", "UH", "UO", "NR", "NC"}
"""Envoy's flags of a connection that was closed without ever having been made."""

AMBIENT = Sign("istio_build", 'component="ztunnel"')

NO_VERSION = {"", "-", "unknown", "latest"}
"""Istio writes ``latest`` for a workload that carries no version label."""

LABELS = (
    "reporter",
    *(f"source_{of}" for of in ("cluster", "workload_namespace", "workload", "canonical_service", "app")),
    *(f"source_{of}" for of in ("canonical_revision", "version", "principal")),
    *(f"destination_{of}" for of in ("cluster", "workload_namespace", "workload", "canonical_service", "app")),
    *(f"destination_{of}" for of in ("canonical_revision", "version", "principal")),
    *("destination_service", "destination_service_name", "destination_service_namespace"),
    *("request_protocol", "response_code", "grpc_response_status", "response_flags", "connection_security_policy"),
    "request_operation",
    "le",
    # Put on by the scrape job: ztunnel's own series do not tell that they are.
    "app",
)


def read(metric: str, labels: Labels, cluster: str) -> tuple[Identity, Measure] | None:
    """Say whose traffic a series counts, and what of it; ``None`` for a series that is not about edges."""
    metric = metric.removeprefix("envoy_")
    measure = _measure(metric, labels)
    reporter = REPORTERS.get(labels.get("reporter", ""))
    if measure is None or reporter is None:
        return None
    source_principal = first_known(labels, ["source_principal"])
    identity = Identity(
        edge=EdgeKey(
            _workload(labels, "source", cluster)
            or WorkloadRef(_cluster(labels, "source", cluster), UNKNOWN, UNKNOWN, UNKNOWN, ""),
            _service(labels, cluster),
            _workload(labels, "destination", cluster),
            _protocol(metric, labels),
        ),
        reporter=reporter,
        security=_security(labels, reporter),
        source_principal=source_principal,
        destination_principal=first_known(labels, ["destination_principal"]),
        carrier="ztunnel" in {labels.get("app"), owner_of(labels.get("pod", ""))},
        listener=_listener(labels, reporter) if isinstance(measure, Tcp) else "",
        operation=first_known(labels, ["request_operation"]),
        host=_host(labels),
    )
    return identity, measure


def read_listener(metric: str, labels: Labels) -> ListenerBytes | None:
    """Read our own Envoys' live TCP bytes: Istio's are written when a connection ends, which may take days."""
    field = LISTENER_FIELDS.get(metric)
    direction, _, rest = labels.get("envoy_tcp_prefix", "").partition("|")
    if field is None or direction not in {"inbound", "outbound"}:
        return None
    return ListenerBytes(_outbound(rest.rpartition("|")[2]) if direction == "outbound" else INBOUND, field)


def _reached_nobody(labels: Labels) -> bool:
    """Whether a caller's connection failed before there was anybody at its other end."""
    flags = labels.get("response_flags", "").split(",")
    target = first_known(labels, ["destination_workload"])
    return labels.get("reporter") == "source" and not target and not NOBODY_REACHED.isdisjoint(flags)


def _listener(labels: Labels, reporter: Reporter) -> str:
    return INBOUND if reporter is Reporter.DESTINATION else _outbound(labels.get("destination_service", ""))


def _outbound(host: str) -> str:
    # Envoy turns dots in a listener's name into underscores.
    return f"outbound {host.replace('.', '_')}"


def _measure(metric: str, labels: Labels) -> Measure | None:
    if metric == "istio_requests_total":
        grpc = first_known(labels, ["grpc_response_status"])
        return Requests(Outcome(labels.get("response_code") or "0", grpc, labels.get("response_flags") or "-"))
    if metric == "istio_request_duration_milliseconds_bucket":
        return LatencyBucket(float(labels["le"])) if "le" in labels else None
    if metric == "istio_request_duration_milliseconds_sum":
        return LatencySum()
    if metric in TCP_FIELDS and _reached_nobody(labels):
        return Requests(Outcome("0", "", labels["response_flags"])) if metric == CLOSED else None
    if metric in TCP_FIELDS:
        return Tcp(TCP_FIELDS[metric])
    return Amount(AMOUNTS[metric]) if metric in AMOUNTS else None


def _workload(labels: Labels, end: str, cluster: str) -> WorkloadRef | None:
    workload = first_known(labels, [f"{end}_workload"])
    app = first_known(labels, [f"{end}_canonical_service", f"{end}_app"])
    if not (app or workload):
        return None
    version = first_known(labels, [f"{end}_canonical_revision", f"{end}_version"])
    return WorkloadRef(
        _cluster(labels, end, cluster),
        first_known(labels, [f"{end}_workload_namespace"]) or UNKNOWN,
        workload or app,
        app,
        "" if version in NO_VERSION else version,
    )


def _cluster(labels: Labels, end: str, cluster: str) -> str:
    # An unknown end is taken for a neighbour of the proxy that reports it: https://github.com/istio/istio/issues/29373
    return first_known(labels, [f"{end}_cluster"]) or cluster


def _service(labels: Labels, cluster: str) -> ServiceRef | None:
    host = first_known(labels, ["destination_service"])
    name = first_known(labels, ["destination_service_name"])
    namespace = first_known(labels, ["destination_service_namespace"])
    short, _, rest = host.partition(".")
    if rest.partition(".")[2].startswith("svc."):
        name, namespace = name or short, namespace or rest.partition(".")[0]
    name = name or host
    return ServiceRef(_cluster(labels, "destination", cluster), namespace or UNKNOWN, name) if name else None


def _host(labels: Labels) -> str:
    """The host that was asked for, where it is another than the service's own."""
    host, name = first_known(labels, ["destination_service"]), first_known(labels, ["destination_service_name"])
    named, _, rest = host.partition(".")
    return "" if host == name or (named == name and ".svc." in f".{rest}") else host


def _protocol(metric: str, labels: Labels) -> Protocol:
    if metric in TCP_FIELDS:
        return Protocol.TCP
    if metric.endswith("_messages_total"):
        return Protocol.GRPC
    word = labels.get("request_protocol", "").lower()
    return Protocol.GRPC if word.startswith("grpc") else Protocol.HTTP


def _security(labels: Labels, reporter: Reporter) -> Security:
    policy = labels.get("connection_security_policy", UNKNOWN)
    if policy in {Security.MUTUAL_TLS, Security.NONE}:
        return Security(policy)
    # Istio's callers leave the policy to the callee, but name both ends' certificates where there are any.
    both = first_known(labels, ["source_principal"]) and first_known(labels, ["destination_principal"])
    return Security.MUTUAL_TLS if both and reporter is Reporter.SOURCE else Security.UNKNOWN


DIALECT = Dialect(
    name="istio",
    stats_filter=r"^(istio\.|tcp\..*_bytes_total$)",
    read=read,
    read_listener=read_listener,
    title="Istio",
    metrics=(
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
        "istio_request_duration_milliseconds_sum",
        *TCP_FIELDS,
        *AMOUNTS,
    ),
    labels=LABELS,
    latency=Latency.LAST_BYTE,
    requires=(
        Need(
            metric="istio_requests_total|istio_tcp_connections_opened_total",
            labels=("source_workload", "destination_workload", "destination_service"),
            reason="proxies publish Istio's standard metrics unless a Telemetry switches them off",
            remedy="""\
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-metrics, namespace: istio-system}
spec: {metrics: [{providers: [{name: prometheus}]}]}""",
        ),
        Need(
            metric="istio_requests_total|istio_tcp_connections_opened_total",
            labels=("app", "pod"),
            reason="ztunnel's connections are told from requests by the label app or pod of the scrape job",
            remedy="""\
relabel_configs:
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_label_app], target_label: app}""",
            beside=AMBIENT,
        ),
    ),
    gaps=(
        Gap(
            signal="requests",
            reason="ambient mode counts connections: requests are counted where there is a waypoint",
            remedy="istioctl waypoint apply --namespace <namespace> --enroll-namespace",
            beside=AMBIENT,
        ),
        Gap(
            signal="source",
            reason="callers without a sidecar or ztunnel are unknown: only the callee reports them",
            remedy="bring the caller into the mesh, or send spans",
        ),
    ),
    # Without Istio's bootstrap, which takes the prefix away, Envoys write it before everything.
    probe=tuple(
        f"{prefix}{of}" for of in ("istio_requests_total", "istio_tcp_sent_bytes_total") for prefix in ("", "envoy_")
    ),
)
