"""What is read of a log's line."""

import logging

import pytest

from mesh_runtime.log_lines import Lines


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({}, "WARNING lease ran out"),
        ({"instance": "shop/web~0", "after_s": 15}, "WARNING lease ran out (instance=shop/web~0, after_s=15)"),
    ],
)
def test_a_line_says_what_it_is_about(about, line):
    record = logging.getLogger("mesh").makeRecord(
        "mesh", logging.WARNING, "", 0, "lease %s", ("ran out",), None, extra=about
    )
    assert Lines("%(levelname)s %(message)s").format(record) == line
