"""A cluster: a stand-in, or the real one that ``KUBECONFIG`` leads to.

Where ``KUBECONFIG`` is set, the tests that only read a cluster read the real one. Those that write need
``MESHSCOPE_TEST_WRITES=1``, too, since on many machines ``KUBECONFIG`` leads to a cluster that people rely on: each
writes into a namespace of its own, ``meshscope-<random>``, and removes it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

sys.path.append(str(Path(__file__).parent))

from api_server import ApiServer
from cluster_objects import deployment, namespace, pod, service
from cluster_rig import Cluster, write_kubeconfig

from collectors.kubernetes.config import ClusterConfig

REAL = os.environ.get("KUBECONFIG", "")
MAY_WRITE = os.environ.get("MESHSCOPE_TEST_WRITES") == "1"
LOOK_AGAIN_S = 0.3


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """The stand-in, for tests that play tricks on it."""
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def config(server: ApiServer, tmp_path: Path) -> ClusterConfig:
    """The stand-in's settings."""
    path = write_kubeconfig(tmp_path / "kubeconfig", prod=server.url)
    return ClusterConfig(kubeconfig=str(path), look_again_s=LOOK_AGAIN_S)


@pytest.fixture
async def cluster(config: ClusterConfig) -> AsyncIterator[Cluster]:
    """Whichever cluster may be written to, for tests that do what any user may do."""
    place = f"meshscope-{uuid4().hex[:8]}"
    cluster = Cluster(ClusterConfig(kubeconfig=REAL) if REAL and MAY_WRITE else config, place)
    await cluster.apply(namespace(place))
    yield cluster
    await cluster.delete(namespace(place))
    await cluster.close()


@pytest.fixture
async def read_only(server: ApiServer, config: ClusterConfig) -> AsyncIterator[Cluster]:
    """Whichever cluster there is, for tests that change nothing."""
    for item in (namespace(), pod("front"), service("front"), deployment("front")):
        server.put(item)
    cluster = Cluster(ClusterConfig(kubeconfig=REAL) if REAL else config, "")
    yield cluster
    await cluster.close()
