"""A mesh of which every call is known, told as Istio's proxies, plain Envoys and applications with spans would tell it.

Whoever reads what is told must come to the same numbers as :meth:`Mesh.truth`, which looks at the calls alone.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_fakes import KINDS, pairs, resource

from graph.model import Signals, Snapshot

T0 = 1_790_000_000_000
BOUNDS_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, math.inf)
"""Envoy's own, which are Istio's, too."""


class Replica(NamedTuple):
    """One process of one version of an app, with the proxy beside it."""

    app: str
    version: str
    number: int

    @property
    def workload(self) -> str:
        return f"{self.app}-{self.version}"

    @property
    def pod(self) -> str:
        return f"{self.workload}-{self.number}"


class End(NamedTuple):
    """How a request ended for who watched it. ``code`` "0": no answer."""

    code: str
    grpc: str = ""
    flags: str = "-"

    @property
    def failed(self) -> bool:
        return self.code == "0" or self.code >= "500" or self.grpc not in {"", "0"}


class Fate(NamedTuple):
    """What becomes of a request: for its caller, and for the callee once per attempt that arrives."""

    share: float
    caller: End
    callee: tuple[End, ...]


HTTP = (
    Fate(80, End("200"), (End("200"),)),
    Fate(4, End("404"), (End("404"),)),
    Fate(3, End("500"), (End("500"),)),
    Fate(4, End("200"), (End("503"), End("200"))),  # the proxy tries again
    Fate(2, End("503", flags="URX"), (End("503"),) * 3),  # again and again in vain
    Fate(3, End("504", flags="UT"), (End("0", flags="DC"),)),  # the caller's proxy gives up
    Fate(2, End("0", flags="DC"), (End("0", flags="DC"),)),  # the caller itself does
    Fate(2, End("503", flags="UF"), ()),  # nobody is reached
)
GRPC = (
    Fate(85, End("200", "0"), (End("200", "0"),)),
    Fate(8, End("200", "13"), (End("200", "13"),)),
    Fate(4, End("200", "0"), (End("200", "14"), End("200", "0"))),
    Fate(3, End("200", "14", "UT"), (End("0", flags="DC"),)),
)


class Call(NamedTuple):
    """One request of one process to a service, which one process answers."""

    at_ms: int
    number: int
    caller: Replica
    callee: Replica
    grpc: bool
    fate: Fate
    took_ms: float

    @property
    def route(self) -> Route:
        return self.caller.workload, self.callee.app


class Restart(NamedTuple):
    """A process begins anew, and so do its counters. No call ends at this very moment."""

    at_ms: int
    replica: Replica


class Scrape(NamedTuple):
    """What a proxy's page says: series, as the text format writes them, and their values."""

    at_ms: int
    replica: Replica
    since_ms: int
    """When the process began."""
    values: Mapping[str, float]

    def page(self) -> str:
        return "".join(f"{series} {value!r}\n" for series, value in self.values.items())


Route = tuple[str, str]
"""A caller's workload and the service that it calls."""
Ends = dict[Route, Counter[End]]
"""How requests ended."""
Report = Iterator[tuple[Replica, str, float]]
"""By how much a request makes whose series grow."""


class Mesh:
    """``web`` calls ``cart`` (two versions) and ``mail`` by HTTP, ``cart`` calls ``stock`` by gRPC."""

    REPLICAS = (
        *(Replica("web", "v1", 1), Replica("web", "v1", 2)),
        *(Replica("cart", "v1", 1), Replica("cart", "v1", 2), Replica("cart", "v2", 1)),
        *(Replica("mail", "v1", 1), Replica("stock", "v1", 1), Replica("stock", "v1", 2)),
    )
    ROUTES = (("web", "cart", HTTP), ("web", "mail", HTTP), ("cart", "stock", GRPC))

    def __init__(self, seed: int, *, seconds: int = 300, per_second: int = 2) -> None:
        self.seconds = seconds
        self.end_ms = T0 + 1000 * seconds
        self.chance = random.Random(seed)
        moments = product(range(T0, self.end_ms, 1000), self.ROUTES)
        drawn = [self._draw(second, *route) for second, route in moments for _ in range(per_second)]
        self.calls = [one._replace(number=number) for number, one in enumerate(sorted(drawn), 1)]
        self.restarts: list[Restart] = []

    def _draw(self, second: int, source: str, target: str, fates: tuple[Fate, ...]) -> Call:
        chance = self.chance
        return Call(
            second + chance.randrange(1, 1000),
            0,
            chance.choice([one for one in self.REPLICAS if one.app == source]),
            chance.choice([one for one in self.REPLICAS if one.app == target]),
            fates is GRPC,
            chance.choices(fates, [one.share for one in fates])[0],
            round(chance.lognormvariate(3, 1.2), 3),
        )

    def restart(self, times: int, *, every_s: int = 1) -> None:
        """Let processes begin anew at some whole multiple of so many seconds."""
        for _ in range(times):
            moment = T0 + 1000 * every_s * self.chance.randrange(2, self.seconds // every_s)
            self.restarts.append(Restart(moment, self.chance.choice(self.REPLICAS)))

    def scrapes(self, report: Callable[[Call], Report], every_s: int) -> Iterator[Scrape]:
        """Yield every proxy's page again and again; the first are empty. A page is read before its process restarts."""
        values: dict[Replica, Counter[str]] = {one: Counter() for one in self.REPLICAS}
        since = dict.fromkeys(self.REPLICAS, T0)
        events = deque(sorted([*self.calls, *self.restarts]))
        for at_ms in range(T0, self.end_ms + 1, 1000 * every_s):
            while events and events[0].at_ms < at_ms:
                event = events.popleft()
                if isinstance(event, Restart):
                    values[event.replica], since[event.replica] = Counter(), event.at_ms
                    continue
                for replica, series, value in report(event):
                    values[replica][series] += value
            for replica in self.REPLICAS:
                began = {"process_start_time_seconds{}": since[replica] / 1000}
                yield Scrape(at_ms, replica, since[replica], values[replica] | began)

    def truth(self, *, of: Callable[[Call], bool] = lambda _: True) -> Ends:
        """How requests ended for their callers, by the caller's workload and the service called."""
        ends: defaultdict[Route, Counter[End]] = defaultdict(Counter)
        for call in filter(of, self.calls):
            ends[call.route][call.fate.caller] += 1
        return dict(ends)

    def disorder(self, told: Iterable[Told]) -> list[Told]:
        """Let spans arrive in any order within some seconds."""
        return sorted(told, key=lambda one: one.call.at_ms + self.chance.uniform(0, 8000))

    def arrived(self) -> Ends:
        """How attempts ended for the callees."""
        ends: defaultdict[Route, Counter[End]] = defaultdict(Counter)
        for call in self.calls:
            ends[call.route].update(call.fate.callee)
        return dict(ends)

    def unread(self, read: Mapping[Replica, list[int]]) -> Counter[Route]:
        """How many requests no scrape at these instants can know: their process restarted, or time ended, before one."""
        lost: Counter[Route] = Counter()
        ends = sorted([*self.restarts, *(Restart(self.end_ms, one) for one in self.REPLICAS)])
        for call in self.calls:
            ended = next(at for at, who in ends if who == call.caller and at > call.at_ms)
            if not any(call.at_ms <= at <= ended for at in read[call.caller]):
                lost[call.route] += 1
        return lost


def quantile(calls: Iterable[Call], share: float) -> tuple[float, float]:
    """Between which bounds of a bucket the quantile of what calls took lies."""
    took = sorted(one.took_ms for one in calls)
    value = took[math.ceil(share * len(took)) - 1]
    high = next(bound for bound in BOUNDS_MS if value <= bound)
    return max((bound for bound in BOUNDS_MS if bound < value), default=0.0), high


NOBODY = ("unknown", "unknown")


def istio(call: Call) -> Report:
    """Both proxies report: the caller's each request once, however often it was tried; the callee's each attempt."""
    yield from _istio(call, call.caller, "source", call.fate.caller)
    for end in call.fate.callee:
        yield from _istio(call, call.callee, "destination", end)


def _istio(call: Call, reporter: Replica, side: str, end: End) -> Report:
    labels = _istio_labels(side, call.caller[:2], call.callee[:2], call.grpc, end)
    yield reporter, f"istio_requests_total{{{labels}}}", 1
    for suffix, value in _histogram(labels, call.took_ms):
        yield reporter, f"istio_request_duration_milliseconds_{suffix}", value


@lru_cache
def _istio_labels(side: str, caller: tuple[str, str], callee: tuple[str, str], grpc: bool, end: End) -> str:
    labels = {"reporter": side} | _istio_end("source", *caller)
    labels |= _istio_end("destination", *(NOBODY if end.flags == "UF" else callee))
    labels |= {
        "destination_service": f"{callee[0]}.shop.svc.cluster.local",
        "destination_service_name": callee[0],
        "destination_service_namespace": "shop",
        "request_protocol": "grpc" if grpc else "http",
        "response_code": end.code,
        "grpc_response_status": end.grpc,
        "response_flags": end.flags,
        "connection_security_policy": "unknown" if side == "source" else "mutual_tls",
    }
    return _written(labels)


def _istio_end(end: str, app: str, version: str) -> dict[str, str]:
    known = (app, version) != NOBODY
    return {
        f"{end}_workload": f"{app}-{version}" if known else app,
        f"{end}_workload_namespace": "shop" if known else app,
        f"{end}_canonical_service": app,
        f"{end}_canonical_revision": version,
    }


def envoy(call: Call) -> Report:
    """The caller's proxy counts each request once, by its last answer; retries and aborted requests stand elsewhere."""
    cluster = f'envoy_cluster_name="shop/{call.callee.app}/80"'
    end = call.fate.caller
    if end.code == "0":
        yield call.caller, f"envoy_cluster_upstream_rq_cancelled{{{cluster}}}", 1
        return
    for attempt in call.fate.callee[:-1]:
        labels = f'envoy_response_code_class="{attempt.code[0]}",{cluster}'
        yield call.caller, f"envoy_cluster_retry_upstream_rq_xx{{{labels}}}", 1
    yield call.caller, f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{end.code[0]}",{cluster}}}', 1
    yield call.caller, f'envoy_cluster_upstream_rq{{envoy_response_code="{end.code}",{cluster}}}', 1
    for suffix, value in _histogram(cluster, call.took_ms):
        yield call.caller, f"envoy_cluster_upstream_rq_time_{suffix}", value


def _histogram(labels: str, took_ms: float) -> Iterator[tuple[str, float]]:
    for bound in BOUNDS_MS:
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        yield f'bucket{{{labels},le="{le}"}}', float(took_ms <= bound)
    yield f"count{{{labels}}}", 1
    yield f"sum{{{labels}}}", took_ms


def target(replica: Replica) -> dict[str, str]:
    """The labels that a scrape job of Kubernetes adds."""
    return {"namespace": "shop", "pod": replica.pod, "app": replica.app, "version": replica.version}


def open_metrics(scrapes: Iterable[Scrape]) -> str:
    """Write scrapes as ``promtool tsdb create-blocks-from openmetrics`` takes them."""
    lines = []
    for one in scrapes:
        scraped = _written(target(one.replica) | {"job": "mesh", "instance": f"{one.replica.pod}:15020"})
        lines += [
            f"{text[:-1]}{',' * (text[-2] != '{')}{scraped}}} {value!r} {one.at_ms / 1000}\n"
            for text, value in one.values.items()
        ]
    return "".join([*lines, "# EOF\n"])


def _written(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


class Told(NamedTuple):
    """A span and who sends it."""

    call: Call
    sender: Replica
    span: Span


def spans(calls: Iterable[Call], *, state: str = "") -> list[Told]:
    """Tell each call by the caller's span, and by one of the callee for each attempt that arrived."""
    told = []
    for call in calls:
        told.append(Told(call, call.caller, _span(call, "client", 0, call.fate.caller, state)))
        told += [
            Told(call, call.callee, _span(call, "server", number, end, state))
            for number, end in enumerate(call.fate.callee, 1)
        ]
    return told


def _span(call: Call, kind: str, number: int, end: End, state: str) -> Span:
    status = {"rpc.grpc.status_code": int(end.grpc)} if end.grpc else {}
    code = {"http.response.status_code": int(end.code)} if end.code != "0" and not call.grpc else {}
    rpc = {"rpc.system": "grpc"} if call.grpc else {}
    made = Span(
        trace_id=call.number.to_bytes(16),
        span_id=(16 * call.number + number).to_bytes(8),
        parent_span_id=(16 * call.number).to_bytes(8) if number else b"",
        name="GET /",
        kind=KINDS[kind],
        start_time_unix_nano=1_000_000 * call.at_ms - round(1e6 * call.took_ms),
        end_time_unix_nano=1_000_000 * call.at_ms,
        attributes=pairs(rpc | status | code | ({} if number else {"server.address": call.callee.app})),
        trace_state=state,
    )
    made.status.code = 2 if end.failed else 0
    return made


def requests(told: Iterable[Told], *, at_once: int = 100) -> Iterator[bytes]:
    """Send spans in batches, each by its sender's resource."""
    waiting = list(told)
    for start in range(0, len(waiting), at_once):
        message = ExportTraceServiceRequest()
        by_sender: defaultdict[Replica, list[Span]] = defaultdict(list)
        for one in waiting[start : start + at_once]:
            by_sender[one.sender].append(one.span)
        for sender, sent in by_sender.items():
            of = message.resource_spans.add()
            of.resource.attributes.extend(pairs(resource(sender.app, version=sender.version)))
            of.scope_spans.add().spans.extend(sent)
        yield message.SerializeToString()


def routes(finest: Snapshot) -> dict[Route, list[Signals]]:
    """What the finest edges of a graph say, by the caller's workload and the service called."""
    found: defaultdict[Route, list[Signals]] = defaultdict(list)
    for edge in finest.edges.values():
        source, service, callee, _ = edge.keys[0]
        found[source.workload, service.name if service else callee.app if callee else ""].append(edge.signals)
    return dict(found)


def ends(finest: Snapshot) -> Ends:
    """How requests ended, as the finest edges of a graph say."""
    counted: Ends = {}
    for route, signals in routes(finest).items():
        for one in signals:
            counted.setdefault(route, Counter()).update({End(*end): count for end, count in one.outcomes.items()})
    return {route: ended for route, ended in counted.items() if ended}


def without_flags(told: Ends) -> Ends:
    """What an application sees: its proxy's flags are not in the answer."""
    return _renamed(told, lambda end: End(end.code, end.grpc))


def by_class(told: Ends) -> Ends:
    """What Envoy's clusters tell: classes of codes, no status of gRPC, and nothing of what callers gave up."""
    return _renamed(told, lambda end: None if end.code == "0" else End(f"{end.code[0]}xx"))


def _renamed(told: Ends, name: Callable[[End], End | None]) -> Ends:
    renamed: Ends = {}
    for route, ended in told.items():
        for end, count in ended.items():
            if known := name(end):
                renamed.setdefault(route, Counter())[known] += count
    return renamed
