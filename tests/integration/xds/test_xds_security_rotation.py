"""A new root takes over while traffic flows, whatever happens meanwhile."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from xds_mesh import FRESH_CONNECTIONS, Mesh, together, until

from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.identity.authority import Authority, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        await mesh.apply(together(STRICT, FRESH_CONNECTIONS))
        yield mesh


class Load:
    """What came of requests over fresh connections."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.statuses = Counter()

    async def call(self):
        while True:
            self.statuses[(await self.mesh.get(self.mesh.workloads["frontend"], "catalog/")).status] += 1

    async def goes_on(self, count=20):
        wanted = self.statuses.total() + count

        async def enough():
            return self.statuses.total() >= wanted

        await until(enough)


@asynccontextmanager
async def load_on(mesh):
    """Send requests all the time."""
    load = Load(mesh)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.call()) for _ in range(3)]
        yield load
        for task in tasks:
            task.cancel()


def roots(mesh):
    return {one.root for one in mesh.control.certificates()}


async def test_a_root_is_replaced_under_load_without_a_failed_request(mesh):
    (old,) = roots(mesh)
    async with load_on(mesh) as load:
        await load.goes_on()
        await mesh.control.rotate_root()
        await load.goes_on()
    (new,) = roots(mesh)
    assert new != old
    assert set(load.statuses) == {200}
    assert mesh.authority.stage is Stage.ONE_ROOT
    bundles = [secret for node in mesh.control.status()
               for secret in mesh.control.resources(node.node_id, "secrets") if secret["name"] == "ROOTCA"]  # fmt: skip
    assert {secret["validation_context"]["trusted_ca"]["inline_string"] for secret in bundles} == {
        mesh.authority.root_pem
    }


@pytest.mark.parametrize("stage", [Stage.BOTH_TRUSTED, Stage.NEW_SIGNS])
async def test_a_rotation_that_was_cut_short_goes_on_after_a_restart(mesh, stage):
    (old,) = roots(mesh)
    async with load_on(mesh) as load:
        await load.goes_on()
        # What a kill between two steps leaves: the file of the step, and proxies as the step before left them.
        await mesh.stop_control()
        mesh.authority.prepare()
        if stage is Stage.NEW_SIGNS:
            await mesh.start_control()
            await until(lambda: waits_for_nobody(mesh))
            await mesh.stop_control()
        mesh.authority = Authority(mesh.dir / "ca", mesh.clock.now_ms)
        await mesh.start_control()
        await until(lambda: is_over(mesh))
        await load.goes_on()
    assert set(load.statuses) == {200}
    assert roots(mesh) != {old}
    assert mesh.authority.stage is Stage.ONE_ROOT


async def waits_for_nobody(mesh):
    return not mesh.control.rotation.waiting


async def is_over(mesh):
    return not mesh.control.rotation.running and len(mesh.control.certificates()) == len(mesh.workloads)


async def test_a_proxy_that_is_away_is_waited_for_until_its_lease_ends(mesh):
    gone = await mesh.workload("orders")
    await mesh.envoys.pop("orders").kill()
    del mesh.workloads["orders"]  # nor is there an agent that renews its lease
    mesh.control.start_root_rotation()

    async def waited_for():
        return mesh.control.rotation.waiting == (gone.grant.id,)

    await until(waited_for)
    assert mesh.control.rotation.stage is Stage.BOTH_TRUSTED
    assert (await mesh.get(mesh.workloads["frontend"], "catalog/")).status == 200
    await mesh.control.deregister(gone.grant.id)
    await until(lambda: is_over(mesh))
    assert ObjectKey("", "Service", "shop", "orders") in mesh.store.current.objects


async def test_a_proxy_that_comes_during_a_rotation_is_understood_by_all(mesh):
    async with load_on(mesh) as load:
        mesh.control.start_root_rotation()
        late = await mesh.workload("late")
        assert (await mesh.get(late, "catalog/")).status == 200
        await until(lambda: is_over(mesh))
        assert (await mesh.get(late, "catalog/")).status == 200
    assert set(load.statuses) <= {200}
