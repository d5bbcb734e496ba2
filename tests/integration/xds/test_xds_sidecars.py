import pytest
import pytest_asyncio
from xds_mesh import Mesh

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    mesh = await Mesh().start()
    try:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.workload("catalog", "v2")
        yield mesh
    finally:
        await mesh.close()


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


@pytest.mark.parametrize(
    "host",
    [
        "catalog",
        "catalog:80",
        "catalog.shop",
        "catalog.shop:80",
        "catalog.shop.svc",
        "catalog.shop.svc.cluster.local",
        "catalog.shop.svc.cluster.local:80",
    ],
)
async def test_a_service_is_reached_by_each_of_its_names(mesh, frontend, host):
    answer = await mesh.get(frontend, f"{host}/some/path?a=b")
    assert answer.status == 200
    assert answer.seen["path"] == "/some/path?a=b"
