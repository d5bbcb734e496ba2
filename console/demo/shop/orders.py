"""Takes orders: puts the goods aside, has the card charged, writes it down; and knows what sells best."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from console.demo.shop.database import Database
from console.demo.shop.goods import BY_SKU
from console.demo.shop.neighbours import Neighbours, say_unavailable
from console.demo.shop.place import Place

PAYMENTS = "payments.example.com"
KEEP_S = 3600
MOST_LINES = 50


def build(place: Place) -> web.Application:
    """``POST /orders {order, items}``, ``GET /orders/{order}``, ``GET /bestsellers``."""
    database, neighbours = Database(place), Neighbours(place.namespace)
    redis = database.redis

    async def take(request: web.Request) -> web.Response:
        body = await request.json()
        order, items = str(body["order"]), _lines(body.get("items", []))
        if not items:
            return web.json_response({"error": "the cart is empty"}, status=400)
        known = await redis.get(f"order:{order}")
        if known:
            return web.json_response(json.loads(known))
        cents = sum(BY_SKU[line["sku"]].cents * line["quantity"] for line in items)
        await neighbours.post("inventory", "/reservations", {"order": order, "items": items})
        status, receipt = await neighbours.post(PAYMENTS, "/charges", {"order": order, "cents": cents})
        if status == 402:
            return web.json_response({"order": order, "error": receipt["error"]}, status=402)
        taken = {"order": order, "items": items, "cents": cents, "charge": receipt["charge"]}
        async with redis.pipeline(transaction=True) as pipe:
            pipe.set(f"order:{order}", json.dumps(taken), ex=KEEP_S)
            for line in items:
                pipe.zincrby("sold", line["quantity"], line["sku"])
            await pipe.execute()
        return web.json_response(taken, status=201)

    async def show(request: web.Request) -> web.Response:
        known = await redis.get(f"order:{request.match_info['order']}")
        if known is None:
            return web.json_response({"error": "there is no such order"}, status=404)
        return web.json_response(json.loads(known))

    async def bestsellers(_request: web.Request) -> web.Response:
        return web.json_response(await redis.zrevrange("sold", 0, 3))

    app = web.Application(middlewares=[say_unavailable])
    app.cleanup_ctx.extend([database.opened, neighbours.opened])
    app.router.add_post("/orders", take)
    app.router.add_get("/orders/{order}", show)
    app.router.add_get("/bestsellers", bestsellers)
    return app


def _lines(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"sku": item["sku"], "quantity": min(max(int(item["quantity"]), 1), 9)}
        for item in items[:MOST_LINES]
        if item.get("sku") in BY_SKU
    ]
