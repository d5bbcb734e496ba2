import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "kubernetes"))
sys.path.append(str(Path(__file__).parents[2] / "unit" / "collectors"))

from up_process import up

TOLERANCES = """
[[health.rate]]
namespace = "judged"
kind = "service"
[[health.rate.tolerance]]
code = "404"
protocol = "http"
degraded = 1
failure = 2
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server, for tests that keep to namespaces of their own."""
    with up(tmp_path_factory.mktemp("graph"), settings=TOLERANCES) as server:
        yield server
