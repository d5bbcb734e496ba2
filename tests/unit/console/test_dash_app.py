"""The page as a browser first gets it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from asgi import Visitor
from fastapi import FastAPI

from console.dash_app import build


@pytest.mark.parametrize("path", ["/", "/graph", "/services/shop/catalog"])
async def test_whoever_comes_first_gets_the_page_with_its_styles_by_any_address(path):
    server = FastAPI()
    dash = build(cast("Any", SimpleNamespace(demo=None)), server)
    cast("Any", dash).backend._setup_catchall()
    answer = await Visitor(server).ask("GET", path)
    assert answer.status == 200
    assert "/assets/css/10-tokens.css" in answer.text
