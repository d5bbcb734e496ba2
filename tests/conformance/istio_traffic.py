"""Istio's end-to-end traffic cases against real Envoys: config is applied, calls are made, config is deleted.

Each call is repeated until it is answered as expected, for as long as in Istio's own tests (``callTimeout`` in
pkg/test/framework/components/echo/flags.go): connections that are open when config changes are finished with the
config they began with.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh_runtime.api.objects import ConfigError, ConfigObject
from tests.conformance.outcomes import Outcome, Verdict, chosen, unsupported
from tests.conformance.traffic_calls import Caller, Reply, same_code
from tests.conformance.traffic_mesh import TrafficMesh, with_certificates
from tests.own_ca import OwnCA

PATIENCE_S = 30.0


def run(folder: Path, only: Sequence[str]) -> Iterator[Outcome]:
    """Judge each case in one mesh."""
    suite = json.loads((folder / "cases.json").read_text())
    with asyncio.Runner() as runner:
        cases = _cases(folder, suite, only)
        try:
            while True:
                yield runner.run(anext(cases))  # type: ignore[arg-type]
        except StopAsyncIteration:
            return
        finally:
            runner.run(cases.aclose())


async def _cases(folder: Path, suite: Mapping[str, Any], only: Sequence[str]) -> AsyncIterator[Outcome]:
    traffic = TrafficMesh(suite["environment"])
    authority = OwnCA()
    pair = authority.issue("*.echo.svc.cluster.local", "b.echo.svc.cluster.local", "*.foo.bar")
    # As in Istio's tests, which give every gateway's Secret a certificate, its key and the authority of both.
    pems = {"tls.crt": pair.pem, "tls.key": pair.key_pem, "ca.crt": authority.pem}
    secret = {name: base64.b64encode(pem.encode()).decode() for name, pem in pems.items()}
    try:
        await traffic.start()
        for case in suite["cases"]:
            if not chosen(f"{case['id']} {case['name']}", only):
                continue
            text = (folder / case["config"]).read_text() if case.get("config") else ""
            verdict, reason = await _judge(traffic, case, text, secret)
            yield Outcome(f"{case['id']} {case['name']}", case["name"].partition("/")[0], verdict, reason)
    finally:
        await traffic.close()


async def _judge(
    traffic: TrafficMesh, case: Mapping[str, Any], text: str, secret: Mapping[str, str]
) -> tuple[Verdict, str]:
    if case["skipped_upstream"]:
        return Verdict.SKIPPED, "Istio skips it"
    objects: tuple[ConfigObject, ...] = ()
    try:
        objects = with_certificates(text, traffic.namespace, secret)
        wrong = await traffic.apply(objects) if objects else ""
        if wrong:
            return Verdict.FAILED, wrong
        return await _calls(Caller(traffic), case)
    except ConfigError as error:
        missing = unsupported(error.problems)
        if missing:
            return Verdict.SKIPPED, str(missing)
        return Verdict.FAILED, f"refused: {error.problems[0]}"
    finally:
        await traffic.delete(objects)


async def _calls(caller: Caller, case: Mapping[str, Any]) -> tuple[Verdict, str]:
    for number, item in enumerate(case["calls"]):
        until = time.monotonic() + PATIENCE_S
        while complaint := _complaint(await caller.call(item["call"]), item["expect"]):
            if time.monotonic() > until:
                return Verdict.FAILED, f"{item['name'] or f'call {number + 1}'}: {complaint}"
            await asyncio.sleep(0.1)
    return Verdict.PASSED, ""


def _complaint(replies: list[Reply], expected: list[Mapping[str, Any]]) -> str:
    for expect in expected:
        if expect["check"] == "distribution":
            found = _distribution(replies, expect)
        else:
            found = next(filter(None, (_check(reply, expect) for reply in replies)), "")
        if found:
            return found
    return ""


def _check(reply: Reply, expect: Mapping[str, Any]) -> str:
    """Say how a reply differs from what one check expects; empty: it does not."""
    seen = reply.seen
    sent = {name.lower(): value for name, value in seen.get("headers", {}).items()}
    match expect["check"]:
        case "status":
            return _differs("status", expect["value"], reply.status, reply.error)
        case "upstream_request_header":
            return _differs(expect["name"], expect["value"], sent.get(expect["name"].lower(), ""), reply.error)
        case "upstream_request_headers":
            return _all_differ(expect["value"], sent, reply.error)
        case "upstream_host":
            return _differs("Host at the application", expect["value"], seen.get("host"), reply.error)
        case "upstream_path":
            return _differs("path at the application", expect["value"], seen.get("path"), reply.error)
        case "upstream_protocol":
            return _differs("protocol at the application", expect["value"], seen.get("protocol"), reply.error)
        case "location_header":
            return _differs("Location", expect["value"], reply.headers.get("location", ""), reply.error)
        case "response_header":
            got = reply.headers.get(expect["name"].lower(), "")
            return _differs(expect["name"], expect["value"], got, reply.error)
        case "response_headers":
            return _all_differ(expect["value"], reply.headers, reply.error)
        case "grpc_status":
            same = same_code(expect["value"], reply.grpc_status)
            return "" if same else f"gRPC status is {reply.grpc_status or 'none'}, not {expect['value']} {reply.error}"
        case "mtls_for_http":
            return "" if "x-forwarded-client-cert" in sent else f"did not arrive by mutual TLS {reply.error}".strip()
        case unknown:
            return f"the runner does not know the check {unknown}"


def _all_differ(wanted: Mapping[str, str], got: Mapping[str, str], error: str) -> str:
    found = (_differs(name, value, got.get(name.lower(), ""), error) for name, value in wanted.items())
    return ", ".join(filter(None, found))


def _differs(what: str, wanted: Any, got: Any, error: str) -> str:
    return "" if got == wanted else f"{what} is {got!r}, not {wanted!r} {error}".rstrip()


def _distribution(replies: list[Reply], expect: Mapping[str, Any]) -> str:
    counts = Counter(reply.seen.get("app", "nobody") for reply in replies)
    for app, share in expect["backends"].items():
        if abs(counts[app] - share) > expect["tolerance"]:
            return f"{app} answered {counts[app]} of {len(replies)}, not {share}"
    return ""
