"""Many changes at once: proxies follow all the while, and end where the last change leads."""

import asyncio

import pytest
import pytest_asyncio
from xds_mesh import PATIENCE_S, Mesh

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec: {{hosts: [web], http: [{{directResponse: {{status: 200, body: {{string: "{number}"}}}}}}]}}
"""
CHANGES, SEEN = 200, 10
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("web")
        yield mesh


async def test_hundreds_of_changes_one_after_another_reach_the_proxy_while_they_happen(mesh):
    web = mesh.workloads["web"]
    answered = []

    async def change():
        """Change so often, and then until some changes were seen; returns the last."""
        number = 0
        while number < CHANGES or len(set(answered)) <= SEEN:
            number += 1
            await mesh.apply(ROUTE.format(number=number), settle=False)
            await asyncio.sleep(0.005)
        return number

    async def ask(changing):
        while not changing.done():
            answered.append((await mesh.get(web, "web/")).text)

    changing = asyncio.get_running_loop().create_task(change())
    last, _ = await asyncio.gather(changing, ask(changing))
    settled = await mesh.control.settled(mesh.store.current.revision, PATIENCE_S)
    assert not settled.waiting
    assert (await mesh.get(web, "web/")).text == str(last)
    seen = [int(text) for text in dict.fromkeys(answered) if text.isdecimal()]
    assert seen == sorted(seen)
