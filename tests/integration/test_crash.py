"""kill -9 of the server in the middle of applies: what was acknowledged is there, nothing is half there."""

import asyncio
import json
import random
import sys

import aiohttp

PAIR = """
apiVersion: v1
kind: Service
metadata: {name: first, namespace: shop, labels: {round: "%(round)d"}}
spec: {selector: {app: first}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: second, namespace: shop, labels: {round: "%(round)d"}}
spec: {selector: {app: second}, ports: [{name: http, port: 80}]}
"""
APPLIES = 100


async def start(path):
    command = (sys.executable, "-m", "console", "up", "--data", str(path), "--port", "0")
    ports = ("--otlp-grpc-port", "0", "--otlp-http-port", "0")
    process = await asyncio.create_subprocess_exec(*command, *ports, stdout=asyncio.subprocess.PIPE)
    line = (await process.stdout.readline()).decode()
    return process, json.loads(line.removeprefix("READY"))["socket"]


async def test_a_kill_amid_a_hundred_applies_loses_no_acknowledged_one_and_leaves_none_half(tmp_path):
    rng = random.Random(11)
    process, socket = await start(tmp_path / "data")
    acknowledged = {}
    number = 0
    for deadly in sorted(rng.sample(range(10, APPLIES), 3)):
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session:

            async def apply(session=session):
                nonlocal number
                number += 1
                mine = number
                write = {"yaml": PAIR % {"round": mine}, "author": f"round {mine}", "settle": False}
                async with session.post("http://localhost/api/v1/config", json=write) as answer:
                    assert answer.status == 200
                    acknowledged[mine] = (await answer.json())["revision"]

            while number < deadly:
                await apply()
            async with asyncio.TaskGroup() as group:
                group.create_task(cut_off(apply))
                await asyncio.sleep(rng.random() / 200)
                process.kill()
            await process.wait()
        process, socket = await start(tmp_path / "data")
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session:
            async with session.get("http://localhost/api/v1/history?limit=1000") as answer:
                history = (await answer.json())["items"]
            async with session.get("http://localhost/api/v1/config?kind=Service") as answer:
                services = (await answer.json())["items"]
    finally:
        process.terminate()
        await process.wait()
    by_author = {revision["author"]: revision for revision in history}
    for mine, revision in acknowledged.items():
        assert by_author[f"round {mine}"]["revision"] == revision
    assert [revision["revision"] for revision in history] == list(range(len(history), 0, -1))
    assert all(len(revision["changed"]) == 2 for revision in history)
    rounds = {service["metadata"]["labels"]["round"] for service in services}
    assert len(rounds) == 1
    assert int(rounds.pop()) >= max(acknowledged)


async def cut_off(apply):
    try:
        await apply()
    except aiohttp.ClientError:
        return
