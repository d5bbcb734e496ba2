"""A payment provider: somebody else's program, outside the mesh. It declines a card once in a while."""

from __future__ import annotations

import asyncio
import random
import zlib

from aiohttp import web

from console.demo.shop.place import Place

DECLINED_ONE_IN = 400
"""Seldom: with few orders in a window, one refusal is a share that looks like an incident."""


def build(_place: Place) -> web.Application:
    """``POST /charges {order, cents}``; the same order is always answered the same."""

    async def charge(request: web.Request) -> web.Response:
        body = await request.json()
        order = str(body["order"])
        await asyncio.sleep(random.uniform(0.015, 0.045))  # noqa: S311 - a provider far away, not a secret
        fingerprint = zlib.crc32(order.encode())
        if fingerprint % DECLINED_ONE_IN == 0:
            return web.json_response({"error": "the card was declined"}, status=402)
        return web.json_response({"charge": f"ch_{fingerprint:08x}", "cents": int(body["cents"])}, status=201)

    app = web.Application()
    app.router.add_post("/charges", charge)
    return app
