r"""Dialects that users write themselves, as TOML files.

A file is the table of :class:`collectors.dialects.words.Words` in plain words. Only ``name``, ``requests`` (or
``tcp``) and something that names the ends must be there; a label may be one name or a list, the best first::

    name = "acme"                             # how settings call it
    title = "Acme Mesh"                       # how people call it
    requests = "acme_requests_total"          # counters of requests that ended
    grpc_metrics = []                         # those of them (and of latency) that count gRPC only
    latency = "acme_request_duration_seconds" # histograms, without _bucket
    unit = "s"                                # or "ms", which is the default
    latency_until = "last byte"               # or "first byte"
    reported_by = "source"                    # who counts: source (the caller's proxy), destination, trace
    instance_labels = ["pod", "instance"]     # which labels name the process that counts
    probe = "acme_requests_total"             # a metric that is there wherever the mesh is
    sample_tells = false                      # true: others write these metrics, too; labels decide
    covered_by = []                           # dialects beside which this one is not read

    [whole]                                   # instead of codes: a counter of all requests and counters of some
    parts = { acme_failed_total = "0" }       # by the code they ended with ("0": no response)
    rest = "ok"                               # and how the rest ended

    [source]                                  # labels that name the caller
    workload = ["from_deployment", "from_statefulset"]
    pod = "from_pod"                          # where no label names the workload: less what Kubernetes appends
    namespace = "from_namespace"              # also: app, version, cluster, principal, kind

    [target]                                  # labels that name the callee
    workload = "to_deployment"
    namespace = "to_namespace"

    [service]                                 # labels that name the service that was called
    name = "to_service"
    namespace = "to_namespace"

    [outcome]                                 # labels that tell how a request ended
    code = "status"                           # 503, 5xx or 5
    grpc = "grpc_status"                      # a number or a name
    flags = "error"
    failed = "failed"                         # "true" for failures, where no code tells

    [protocol]
    label = "protocol"                        # http, grpc…, tcp

    [reporter]                                # where both proxies count: the label that tells who did
    label = "side"
    values = { client = "source", server = "destination" }

    [tcp]                                     # metrics of raw TCP
    acme_tcp_sent_bytes_total = "sent_bytes"  # received_bytes, opened, closed
    [tcp_carries]
    requests = true                           # they count the connections of requests, too

    [mtls.tls]                                # label tls: what its values say
    yes = "mutual_tls"
    no = "none"

    [only]                                    # read only series whose labels match (whole values, RE2)
    direction = "outbound"

    [[unpack]]                                # labels made of the named groups of another label
    label = "cluster_name"
    pattern = '(?P<to_namespace>[^/]+)/(?P<to_service>[^/]+)'

    [[gaps]]                                  # what the mesh cannot tell
    signal = "mtls"
    reason = "..."
    remedy = "..."

    [[requires]]                              # what must be there, and what to paste where it is not
    metric = "acme_requests_total"
    labels = ["from_deployment"]
    reason = "..."
    remedy = "..."
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from collectors.dialects.dialect import Dialect, Gap, Labels, Latency, Need
from collectors.dialects.words import NO_RESPONSE, Called, End, Unit, Words
from collectors.errors import CollectorError
from graph.model import Reporter, Security

MOST_BYTES = 1_000_000
NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _regular(value: str) -> str:
    try:
        re.compile(value)
    except re.error as wrong:
        raise ValueError(f"is no regular expression: {wrong}") from wrong
    return value


Name = Annotated[str, Field(pattern=NAME)]
Metric = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed)]
Metrics = Annotated[tuple[Metric, ...], BeforeValidator(_listed)]
Pattern = Annotated[str, AfterValidator(_regular)]
TcpField = Literal["sent_bytes", "received_bytes", "opened", "closed"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _End(_Table):
    workload: Names = ()
    namespace: Names = ()
    app: Names = ()
    version: Names = ()
    cluster: Names = ()
    principal: Names = ()
    pod: Names = ()
    kind: Names = ()

    def end(self) -> End:
        return End(**dict(self))


class _Service(_Table):
    name: Names = ()
    namespace: Names = ()
    cluster: Names = ()


class _Outcome(_Table):
    code: Names = ()
    grpc: Names = ()
    flags: Names = ()
    failed: Names = ()


class _Whole(_Table):
    parts: dict[Metric, str]
    rest: str = NO_RESPONSE


class _Protocol(_Table):
    label: Names


class _Reporter(_Table):
    label: Names = ()
    values: dict[str, Reporter] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _together(self) -> _Reporter:
        if bool(self.label) != bool(self.values):
            raise ValueError("label and values belong together")
        return self


class _Carries(_Table):
    requests: bool = False


class _Unpack(_Table):
    label: Name
    pattern: Pattern

    @model_validator(mode="after")
    def _named(self) -> _Unpack:
        if not re.compile(self.pattern).groupindex:
            raise ValueError("pattern has no named group, as in (?P<to_service>[^/]+)")
        return self


class _Gap(_Table):
    signal: str
    reason: str
    remedy: str = ""


class _Need(_Table):
    metric: Pattern
    labels: Names = ()
    reason: str
    remedy: str


class _File(_Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)]
    title: str = ""
    requests: Metrics = ()
    grpc_metrics: Metrics = ()
    latency: Metrics = ()
    unit: Unit = Unit.MS
    latency_until: Literal["first byte", "last byte"] = "last byte"
    reported_by: Reporter = Reporter.SOURCE
    instance_labels: Names = ()
    probe: Metrics = ()
    sample_tells: bool = False
    covered_by: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    whole: _Whole | None = None
    source: _End = _End()
    target: _End = _End()
    service: _Service = _Service()
    outcome: _Outcome = _Outcome()
    protocol: _Protocol | None = None
    reporter: _Reporter = _Reporter()
    tcp: dict[Metric, TcpField] = Field(default_factory=dict)
    tcp_carries: _Carries = _Carries()
    mtls: dict[Name, dict[str, Security]] = Field(default_factory=dict)
    only: dict[Name, Pattern] = Field(default_factory=dict)
    unpack: tuple[_Unpack, ...] = ()
    gaps: tuple[_Gap, ...] = ()
    requires: tuple[_Need, ...] = ()

    @model_validator(mode="after")
    def _about_edges(self) -> _File:
        if not self.requests and not self.tcp:
            raise ValueError("requests or tcp must name a metric")
        if not any((*self.target.workload, *self.target.app, *self.target.pod, *self.service.name)):
            raise ValueError("target or service must name the labels of who is called")
        return self

    def words(self) -> Words:
        return Words(
            requests=self.requests,
            parts=self.whole.parts if self.whole else {},
            whole=self.whole.rest if self.whole else NO_RESPONSE,
            grpc_metrics=self.grpc_metrics,
            latencies=self.latency,
            unit=self.unit,
            tcp=self.tcp,
            carriers=self.tcp_carries.requests,
            source=self.source.end(),
            target=self.target.end(),
            service=Called(**dict(self.service)),
            reporter=self.reporter.label,
            reporters=self.reporter.values,
            told_by=self.reported_by,
            code=self.outcome.code,
            grpc=self.outcome.grpc,
            flags=self.outcome.flags,
            failed=self.outcome.failed,
            protocol=self.protocol.label if self.protocol else (),
            mtls=self.mtls,
            only=self.only,
            unpack=_unpacking(self.unpack) if self.unpack else None,
            reads=tuple(one.label for one in self.unpack),
            makes=tuple(group for one in self.unpack for group in re.compile(one.pattern).groupindex),
        )


def read_file(path: Path) -> Dialect:
    """Read a dialect from a file; :class:`CollectorError` names the file and every mistake in it."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as trouble:
        raise CollectorError(f"{path}: {trouble.strerror}") from trouble
    if len(text) > MOST_BYTES:
        raise CollectorError(f"{path}: is larger than {MOST_BYTES} bytes, which no dialect is")
    try:
        return read_text(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise CollectorError(f"{path}: is no TOML: {wrong}") from wrong
    except ValidationError as wrong:
        raise CollectorError(f"{path}: {_mistakes(wrong)}") from wrong


def read_text(text: str) -> Dialect:
    """Make a dialect of a file's text."""
    file = _File.model_validate(tomllib.loads(text))
    return file.words().dialect(
        name=file.name,
        title=file.title or file.name,
        probe=file.probe,
        latency=Latency(file.latency_until) if file.latency else Latency.NONE,
        gaps=tuple(Gap(**dict(one)) for one in file.gaps),
        requires=tuple(Need(**dict(one)) for one in file.requires),
        instance_labels=file.instance_labels or None,
        sample_tells=file.sample_tells,
        covered_by=file.covered_by,
    )


def _unpacking(rules: tuple[_Unpack, ...]) -> Callable[[str, Labels], tuple[str, Labels] | None]:
    compiled = [(rule.label, re.compile(rule.pattern)) for rule in rules]

    def unpack(metric: str, labels: Labels) -> tuple[str, Labels]:
        told: Mapping[str, str] = labels
        for label, pattern in compiled:
            if found := pattern.fullmatch(labels.get(label, "")):
                told = {**told, **{name: value for name, value in found.groupdict().items() if value}}
        return metric, told

    return unpack


def _mistakes(wrong: ValidationError) -> str:
    """Tell every mistake, each with its field, and what it may be."""
    return "; ".join(map(_mistake, wrong.errors(include_url=False)))


def _mistake(one: ErrorDetails) -> str:
    where, what = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
    if one["type"] == "extra_forbidden":
        what = f"is none of {', '.join(_table(one['loc'][:-1]).model_fields)}"
    return f"{where}: {what}" if where else what


def _table(path: Iterable[str | int]) -> type[_Table]:
    """Find the table at a path through a file; numbers are places in a list of tables."""
    table: type[_Table] = _File
    for name in path:
        if isinstance(name, str):
            of = table.model_fields[name].annotation
            table = next(one for one in (of, *get_args(of)) if isinstance(one, type) and issubclass(one, _Table))
    return table
