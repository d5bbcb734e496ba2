"""How many there are of each thing, and putting some aside for an order."""

from __future__ import annotations

from aiohttp import web

from console.demo.shop.database import Database
from console.demo.shop.goods import BY_SKU
from console.demo.shop.place import Place

FULL_SHELF = 400
REFILL_BELOW = 20
KEEP_S = 3600


def build(place: Place) -> web.Application:
    """``GET /stock?sku=a,b`` and ``POST /reservations {order, items: [{sku, quantity}]}``."""
    database = Database(place)
    redis = database.redis

    async def stock(request: web.Request) -> web.Response:
        skus = [sku for sku in request.query.get("sku", "").split(",") if sku in BY_SKU]
        counts = await redis.mget([f"stock:{sku}" for sku in skus]) if skus else []
        return web.json_response(
            {sku: FULL_SHELF if count is None else int(count) for sku, count in zip(skus, counts, strict=True)}
        )

    async def reserve(request: web.Request) -> web.Response:
        body = await request.json()
        order, items = str(body["order"]), [(i["sku"], int(i["quantity"])) for i in body["items"] if i["sku"] in BY_SKU]
        # A proxy may repeat a request whose answer it never saw, so an order takes from the shelf once.
        if not await redis.set(f"reservation:{order}", "1", nx=True, ex=KEEP_S):
            return web.json_response({"order": order, "reserved": True})
        async with redis.pipeline(transaction=True) as pipe:
            for sku, quantity in items:
                pipe.set(f"stock:{sku}", FULL_SHELF, nx=True)
                pipe.decrby(f"stock:{sku}", quantity)
            left = (await pipe.execute())[1::2]
        for (sku, _), count in zip(items, left, strict=True):
            if count < REFILL_BELOW:
                await redis.set(f"stock:{sku}", FULL_SHELF)
        return web.json_response({"order": order, "reserved": True})

    app = web.Application()
    app.cleanup_ctx.append(database.opened)
    app.router.add_get("/stock", stock)
    app.router.add_post("/reservations", reserve)
    return app
