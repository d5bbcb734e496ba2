"""What there is to buy. Version 2 adds what others bought, which takes it a few milliseconds more.

Either version can be told by its caller's route to misbehave (see :mod:`console.demo.manifests`): the
request header ``x-shop-fault`` says ``slow`` or ``failing``. The program obeys and says so in its span,
so whoever looks at the span learns which config asked for it.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from aiohttp import web
from opentelemetry import trace

from console.demo.shop.goods import BY_SKU, SHELF, Product, found
from console.demo.shop.neighbours import Neighbours, say_unavailable
from console.demo.shop.place import Place

FAULT_HEADER = "x-shop-fault"
SLOW_S = (0.6, 0.9)


class ToldToFailError(Exception):
    """What the failing version reports in its span."""


def build(place: Place) -> web.Application:
    """``GET /products``, ``GET /products/{sku}``, ``GET /search?q=``."""
    neighbours = Neighbours(place.namespace)
    recommends = place.version not in {"", "v1"}

    async def shelf(_request: web.Request) -> web.Response:
        return web.json_response(await answer(SHELF))

    async def search(request: web.Request) -> web.Response:
        return web.json_response(await answer(found(request.query.get("q", ""))))

    async def product(request: web.Request) -> web.Response:
        item = BY_SKU.get(request.match_info["sku"])
        if item is None:
            return web.json_response({"error": "there is no such product"}, status=404)
        return web.json_response(await answer([item]))

    async def answer(items: tuple[Product, ...] | list[Product]) -> dict[str, Any]:
        skus = ",".join(item.sku for item in items)
        stock = (await neighbours.get("inventory", "/stock", {"sku": skus}))[1] if items else {}
        body: dict[str, Any] = {
            "version": place.version or "v1",
            "products": [{**item.json(), "stock": stock.get(item.sku)} for item in items],
        }
        if recommends:
            best = (await neighbours.get("orders", "/bestsellers"))[1]
            await asyncio.sleep(random.uniform(0.003, 0.008))  # noqa: S311 - the price of ranking
            shown = {item.sku for item in items} if len(items) == 1 else set()
            body["recommended"] = [BY_SKU[sku].json() for sku in best if sku in BY_SKU and sku not in shown]
        return body

    app = web.Application(middlewares=[obey_fault, say_unavailable])
    app.cleanup_ctx.append(neighbours.opened)
    app.router.add_get("/products", shelf)
    app.router.add_get("/products/{sku}", product)
    app.router.add_get("/search", search)
    return app


@web.middleware
async def obey_fault(request: web.Request, handler: Any) -> web.StreamResponse:
    """Be slow, or fail, where the route that led here asks for it."""
    fault = request.headers.get(FAULT_HEADER, "")
    if fault in {"slow", "failing"}:
        span = trace.get_current_span()
        span.set_attribute("shop.fault", fault)
        span.set_attribute("shop.fault.origin", f"request header {FAULT_HEADER}, set by the route to this version")
        if fault == "failing":
            reason = (
                f"told to fail by the request header {FAULT_HEADER}, which the VirtualService sets for this version"
            )
            span.record_exception(ToldToFailError(reason))
            return web.json_response({"error": reason}, status=500)
        await asyncio.sleep(random.uniform(*SLOW_S))  # noqa: S311
    response: web.StreamResponse = await handler(request)
    return response
