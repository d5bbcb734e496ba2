"""The shop works as a shop, whatever carries its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from console.demo.shop.goods import SHELF
from console.demo.shop.place import Place

Start = Callable[..., Awaitable[Any]]
JSON = {"accept": "application/json"}
ALL = ("frontend", "catalog", "inventory", "orders", "payments")


async def test_the_home_page_shows_every_product_with_its_stock(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start(*ALL)
    async with browser.get(shop.url("frontend")) as page:
        text = await page.text()
    assert page.status == 200
    assert page.content_type == "text/html"
    assert all(product.name in text for product in SHELF)
    assert " left" in text
    assert [name for name, _, _ in shop.calls] == ["catalog", "inventory"]


async def test_a_visitor_finds_buys_and_sees_the_order(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start(*ALL)
    site = shop.url("frontend")
    async with browser.get(f"{site}/search", params={"q": "beans blueberry"}, headers=JSON) as found:
        (product,) = (await found.json())["products"]
    async with browser.post(f"{site}/cart", data={"sku": product["sku"], "quantity": "2"}) as cart:
        assert product["name"] in await cart.text()
        assert cart.url.path == "/cart"
    for _ in range(5):  # a card is declined once in a while
        async with browser.post(f"{site}/checkout", headers=JSON) as paid:
            order = await paid.json()
        if paid.status != 402:
            break
    assert paid.status == 201
    assert order["cents"] == 2 * product["cents"]
    async with browser.get(f"{site}/orders/{order['order']}", headers=JSON) as seen:
        assert (await seen.json())["charge"] == order["charge"]
    async with browser.get(f"{site}/cart", headers=JSON) as emptied:
        assert (await emptied.json())["lines"] == []


async def test_version_two_recommends_and_version_one_does_not(start: Start, browser: aiohttp.ClientSession) -> None:
    one = await start("catalog", "inventory", "orders", version="v1")
    async with browser.get(one.url("catalog") + "/products") as answer:
        assert "recommended" not in await answer.json()
    two = await start("catalog", "inventory", "orders", version="v2")
    async with browser.get(two.url("catalog") + "/products") as answer:
        assert (await answer.json())["version"] == "v2"
    assert ("orders", "GET", "/bestsellers") in two.calls
    assert ("orders", "GET", "/bestsellers") not in one.calls


async def test_an_order_sent_twice_takes_from_the_shelf_once(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start("inventory")
    stock, reservations = shop.url("inventory") + "/stock?sku=mug-slate", shop.url("inventory") + "/reservations"

    async def left() -> int:
        async with browser.get(stock) as answer:
            return int((await answer.json())["mug-slate"])

    before = await left()
    for _ in range(2):
        body = {"order": f"twice-{shop.ports['inventory']}", "items": [{"sku": "mug-slate", "quantity": 3}]}
        async with browser.post(reservations, json=body) as answer:
            assert answer.status == 200
    assert await left() == before - 3


async def test_a_silent_neighbour_is_named_on_the_page(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start("frontend", "catalog")
    async with browser.get(shop.url("frontend"), headers=JSON) as answer:
        assert answer.status == 502
        assert "catalog answered 502" in (await answer.json())["error"]
        assert "inventory answered 503" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/products/nothing-of-the-kind", 404),
        ("POST", "/cart", 400),
        ("POST", "/checkout", 400),
        ("GET", "/orders/0123abc", 404),
    ],
)
async def test_what_cannot_be_done_is_refused(
    start: Start, browser: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    shop = await start(*ALL)
    async with browser.request(method, shop.url("frontend") + path) as answer:
        assert answer.status == status
        assert "Sorry" in await answer.text()


async def test_a_cart_that_was_tampered_with_reads_as_empty(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start("frontend")
    async with browser.get(
        shop.url("frontend") + "/cart", headers={**JSON, "cookie": "cart=<script>:1.mug-slate:x.:"}
    ) as answer:
        assert (await answer.json())["lines"] == []


async def test_the_catalog_fails_when_its_route_says_so(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start(*ALL)
    shop.headers["x-shop-fault"] = "failing"
    async with browser.get(shop.url("frontend"), headers=JSON) as answer:
        assert answer.status == 502
        assert "VirtualService" in (await answer.json())["error"]


async def test_the_catalog_is_slow_when_its_route_says_so(start: Start, browser: aiohttp.ClientSession) -> None:
    shop = await start("catalog", "inventory")
    shop.headers["x-shop-fault"] = "slow"
    begun = asyncio.get_running_loop().time()
    async with browser.get(shop.url("catalog") + "/products", headers={"x-shop-fault": "slow"}) as answer:
        assert answer.status == 200
    assert asyncio.get_running_loop().time() - begun > 0.55


def test_a_program_reads_its_place_from_the_environment() -> None:
    place = Place.of(
        {
            "PORT": "9001",
            "DB_HOST": "127.64.0.9",
            "DB_PORT": "16379",
            "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop,service.version=v2,k8s.pod.name=catalog-v2-0",
        }
    )
    assert place == Place(port=9001, version="v2", namespace="shop", db_host="127.64.0.9", db_port=16379)
