"""Malformed and oversized inputs to a running server: each is answered with a clear error, and it lives on."""

import asyncio
import io
import json
import os
import random
import resource
import string
import sys
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

COUNT = 20_000 if os.environ.get("SOAK") else 600
PATHS = (
    ("POST", "/api/v1/config"),
    ("POST", "/api/v1/config/diff"),
    ("POST", "/api/v1/config/delete"),
    ("POST", "/api/v1/rollback"),
    ("POST", "/api/v1/wizards/traffic-shifting/plan"),
    ("POST", "/api/v1/wizards/traffic-shifting/apply"),
    ("POST", "/api/v1/wizards/traffic-shifting/undo"),
    ("GET", "/api/v1/graph"),
    ("GET", "/api/v1/traces"),
    ("GET", "/api/v1/config"),
    ("GET", "/api/v1/history"),
    ("DELETE", "/api/v1/config/vs/shop/catalog"),
    ("POST", "/agent/v1/instances"),
    ("POST", "/agent/v1/heartbeat"),
)
MANIFEST = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "a", "namespace": "shop"},
    "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "weight": 100}], "timeout": "1s"}]},
}
FIELDS = [
    "yaml",
    "manifests",
    "namespace",
    "revision",
    "author",
    "reason",
    "dryRun",
    "plannedOn",
    "weights",
    "service",
    "gateway",
    "versions",
    "id",
    "ids",
    "settle",
    "role",
    "version",
    "labels",
    "port",
    "protocol",
    "admin",
    "token",
    "type",
    "window",
    "at",
    "namespaces",
    "format",
    "limit",
    "tag",
    "minMs",
    "kind",
    "name",
]


@asynccontextmanager
async def server(path):
    command = (sys.executable, "-m", "console", "up", "--data", str(path), "--port", "0")
    ports = ("--otlp-grpc-port", "0", "--otlp-http-port", "0", "--log-level", "error")
    process = await asyncio.create_subprocess_exec(*command, *ports, stdout=asyncio.subprocess.PIPE)
    try:
        line = (await process.stdout.readline()).decode()
        yield process, json.loads(line.removeprefix("READY"))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def junk(rng, depth=0):
    """Any JSON value, leaning to the strange."""
    scalars = (
        None,
        True,
        -1,
        2**63,
        10**40,
        0.1,
        float("nan"),
        "",
        "\x00",
        "\ud800",
        "a" * 5000,
        "../..",
        "*",
        "<script>",
        "%s%n",
        "".join(rng.choices(string.printable, k=20)),
    )
    pick = rng.random()
    if depth > 4 or pick < 0.6:
        return rng.choice(scalars)
    if pick < 0.8:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(FIELDS): junk(rng, depth + 1) for _ in range(rng.randrange(4))}


def mangled(rng, value, depth=0):
    """A valid manifest with something in it replaced."""
    if rng.random() < 0.15 or not isinstance(value, dict | list):
        return junk(rng, depth)
    if isinstance(value, dict):
        name = rng.choice(list(value))
        return value | {name: mangled(rng, value[name], depth + 1)}
    return [mangled(rng, value[0], depth + 1), *value[1:]]


def body(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(2000))
    if kind == 1:
        return b"[" * rng.choice((10, 5000, 100_000))
    if kind == 2:
        return b"x" * rng.choice((10, 3 * 1024 * 1024))
    if kind == 3:
        return json.dumps({"yaml": "".join(rng.choices("abc:-{}[]&*!|>\n\t '\"%@", k=300))}).encode()
    if kind == 4:
        names = string.ascii_lowercase
        bomb = "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise(names))
        return json.dumps({"yaml": bomb}).encode()
    if kind == 5:
        return json.dumps({"manifests": [mangled(rng, MANIFEST)]}).encode()
    return json.dumps({rng.choice(FIELDS): junk(rng) for _ in range(rng.randrange(6))}).encode()


@pytest.mark.soak
@pytest.mark.timeout(3600 if os.environ.get("SOAK") else 300)
async def test_junk_is_answered_with_a_clear_error_and_changes_nothing(tmp_path):
    rng = random.Random(7)
    async with server(tmp_path / "data") as (process, info):
        connector = aiohttp.UnixConnector(info["socket"])
        async with aiohttp.ClientSession(connector=connector) as session:

            async def send(method, path, **more):
                async with session.request(method, f"http://localhost{path}", **more) as answer:
                    return answer.status, await answer.text()

            before = await send("GET", "/api/v1/config?format=yaml")
            for _ in range(100):  # so that what is measured is not the first use of everything
                await send("POST", "/api/v1/config", data=io.BytesIO(body(rng)))
            memory = rss(process.pid)
            for _ in range(COUNT):
                method, path = rng.choice(PATHS)
                data, query = (io.BytesIO(body(rng)), {}) if method == "POST" else (None, queries(rng))
                headers = {"Content-Type": rng.choice(("application/json", "text/plain", "x" * 50))}
                status, text = await send(method, path, data=data, params=query, headers=headers)
                assert status < 500, (method, path, data and data.getvalue()[:300], query, text)
                assert status < 400 or json.loads(text)["error"], (method, path, text)
            assert (await send("GET", "/api/v1/config?format=yaml")) == before
            assert rss(process.pid) < memory + 100 * 1024 * 1024
            assert process.returncode is None


def queries(rng):
    value = rng.choice(("", "-1", "x" * 3000, "NaN", "1e9", "\x00", "2**64", str(2**70), "-99999999h", "0", "é", "[]"))
    return {rng.choice(FIELDS): value}


def rss(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
