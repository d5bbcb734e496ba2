"""OTLP batches as a collector sends them for a large mesh: every request mixes hundreds of services' spans.

The shape: three calls per service, gRPC and HTTP by turns, a dozen attributes per span (half of them say nothing about
the call, and are different each time), a dozen per resource, and the two ends of a call in different requests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CLIENT = Span.SPAN_KIND_CLIENT
SERVER = Span.SPAN_KIND_SERVER
CALLEES = (1, 7, 61)
"""Whom service *n* calls: those so many numbers further on."""
APART = 8
"""The two ends of a call are within so many requests of each other."""
MARK = b"\xfe\xed\xfa\xce\xca\xfe\xbe\xef"
"""The first half of every trace id: what :func:`again` replaces."""


class Call(NamedTuple):
    source: int
    target: int
    name: str
    client: dict[str, str | int]
    server: dict[str, str | int]


def batches(*, count: int, spans: int, services: int, names: int = 0, seed: int = 1) -> list[bytes]:
    """*count* requests of *spans* spans, with *names* different span names (0: one per callee).

    With names, HTTP's routes are left out: what was asked is told by the span's name alone.
    """
    rng = random.Random(seed)
    ends = [end for call in _calls(rng, count * spans // 2, services, names) for end in _ends(rng, call)]
    for start in range(0, len(ends), APART * spans):
        part = ends[start : start + APART * spans]
        rng.shuffle(part)
        ends[start : start + APART * spans] = part
    return [_request(ends[start : start + spans]) for start in range(0, count * spans, spans)]


def again(batch: bytes, number: int) -> bytes:
    """The same request with other trace ids: spans that come again under their own would rightly not be counted."""
    return batch.replace(MARK, number.to_bytes(8, "little"))


def _calls(rng: random.Random, count: int, services: int, names: int) -> Iterator[Call]:
    for _ in range(count):
        source = rng.randrange(services)
        target = (source + rng.choice(CALLEES)) % services
        number = rng.randrange(max(1, names // services))
        host = f"service-{target}.shop"
        call = (_http if target % 2 else _grpc)(rng, source, target, host, number)
        if names:
            call.server.pop("http.route", None)
        yield call


def _http(rng: random.Random, source: int, target: int, host: str, number: int) -> Call:
    code = rng.choice((200, 200, 200, 200, 404, 500))
    path = f"/service-{target}/items{number}"
    common = {"http.request.method": "GET", "http.response.status_code": code, "server.address": host}
    common |= {"server.port": 8080, "network.protocol.version": "1.1", "thread.id": rng.randrange(64)}
    peer = {"network.peer.address": f"10.0.4.{rng.randrange(250)}", "network.peer.port": rng.randrange(30000, 60000)}
    url = f"http://{host}:8080{path}/{rng.randrange(9999)}?currency=EUR"
    client = {"url.full": url, "http.response.body.size": rng.randrange(9000), "http.request.resend_count": 0}
    server = {"url.path": f"{path}/{rng.randrange(9999)}", "http.route": f"{path}/{{id}}", "url.scheme": "http"}
    return Call(source, target, f"GET {path}/{{id}}", common | peer | client, common | peer | server)


def _grpc(rng: random.Random, source: int, target: int, host: str, number: int) -> Call:
    common = {"rpc.system": "grpc", "rpc.service": f"shop.Service{target}", "rpc.method": f"Call{number}"}
    common |= {"rpc.grpc.status_code": rng.choice((0, 0, 0, 0, 5, 14)), "server.address": host, "server.port": 9555}
    peer = {"network.peer.address": f"10.0.4.{rng.randrange(250)}", "network.peer.port": rng.randrange(30000, 60000)}
    more = {"network.type": "ipv4", "network.transport": "tcp", "thread.id": rng.randrange(64)}
    user = {"app.user.id": f"{rng.getrandbits(128):032x}"}
    both = common | peer | more | user
    return Call(source, target, f"shop.Service{target}/Call{number}", both, both)


def _ends(rng: random.Random, call: Call) -> Iterator[tuple[int, Span]]:
    trace, client, server = MARK + rng.randbytes(8), rng.randbytes(8), rng.randbytes(8)
    start = 1_700_000_000_000_000_000 + rng.randrange(10**9)
    took = rng.randrange(1_000_000, 200_000_000)
    times = {"start_time_unix_nano": start, "end_time_unix_nano": start + took, "name": call.name, "flags": 0x101}
    yield call.source, Span(trace_id=trace, span_id=client, kind=CLIENT, attributes=_pairs(call.client), **times)
    yield (
        call.target,
        Span(
            trace_id=trace,
            span_id=server,
            parent_span_id=client,
            kind=SERVER,
            attributes=_pairs(call.server),
            **times,
        ),
    )


def _request(ends: list[tuple[int, Span]]) -> bytes:
    request = ExportTraceServiceRequest()
    by_service: dict[int, list[Span]] = {}
    for service, span in ends:
        by_service.setdefault(service, []).append(span)
    for service, spans in by_service.items():
        name, namespace = f"service-{service}", "shop"
        about = {"service.name": name, "service.namespace": namespace, "service.version": "1.14.2"}
        about |= {"service.instance.id": f"{name}-6f7b9c5d8f-x2k4q", "telemetry.sdk.language": "go"}
        about |= {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "1.27.0", "host.name": name}
        about |= {"k8s.namespace.name": namespace, "k8s.pod.name": f"{name}-6f7b9c5d8f-x2k4q"}
        about |= {"k8s.deployment.name": name, "k8s.node.name": "ip-10-0-1-17"}
        of = request.resource_spans.add()
        of.resource.attributes.extend(_pairs(about))
        of.scope_spans.add(spans=spans).scope.name = "otelgrpc"
    return request.SerializeToString()


def _pairs(attributes: dict[str, str | int]) -> list[KeyValue]:
    pairs = []
    for key, value in attributes.items():
        pair = KeyValue(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
        pairs.append(pair)
    return pairs
