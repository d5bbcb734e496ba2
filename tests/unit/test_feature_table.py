"""The README promises what tests show, and only that."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.features.__main__ import BEGIN, END, README, ROOT, features, table


def test_the_readmes_table_is_the_list_of_tested_features():
    _, _, rest = README.read_text().partition(BEGIN)
    assert rest.partition(END)[0].strip() == table().strip(), "write it anew: python -m tests.features"


@pytest.mark.parametrize("feature", list(features()), ids=lambda feature: feature.name)
def test_a_features_test_is_there(feature):
    path, _, name = feature.test.partition("::")
    assert name.rpartition("::")[2].partition("[")[0] in functions(ROOT / path)


@cache
def functions(path: Path):
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
