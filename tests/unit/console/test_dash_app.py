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


@pytest.mark.parametrize(
    ("path", "list_"),
    [
        ("/services/shop", "/services?q=%2Fshop%2F"),
        ("/workloads/a&b", "/workloads?q=%2Fa%26b%2F"),
        ("/proxies/shop", "/proxies?q=shop%2F"),
        ("/certificates/shop", "/certificates?q=shop%2F"),
    ],
)
async def test_the_address_of_a_namespace_leads_to_the_list_of_what_is_in_it(path, list_):
    server = FastAPI()
    build(cast("Any", SimpleNamespace(demo=None)), server)
    answer = await Visitor(server).ask("GET", path)
    assert (answer.status, answer.headers["location"]) == (307, list_)
