"""The shop's web site: pages for people, the same as JSON for programs that ask for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from console.demo.shop import pages
from console.demo.shop.goods import BY_SKU
from console.demo.shop.neighbours import Neighbours, UnavailableError
from console.demo.shop.place import Place

CART = "cart"
MOST_OF_ONE = 9


class Site:
    """Asks the other programs, and shows what they say."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    async def home(self, request: web.Request) -> web.Response:
        """All that there is."""
        _, answer = await self._neighbours.get("catalog", "/products")
        return show(request, answer, pages.listing("Everything for the third cup", answer))

    async def search(self, request: web.Request) -> web.Response:
        """What fits some words."""
        words = request.query.get("q", "")[:100]
        _, answer = await self._neighbours.get("catalog", "/search", {"q": words})
        return show(request, answer, pages.listing(f"“{words}”", answer))

    async def product(self, request: web.Request) -> web.Response:
        """One of the goods."""
        sku = request.match_info["sku"]
        if sku not in BY_SKU:
            return refuse(request, 404, "There is no such product.")
        _, answer = await self._neighbours.get("catalog", f"/products/{sku}")
        return show(request, answer, pages.product(answer))

    async def see_cart(self, request: web.Request) -> web.Response:
        """What has been chosen."""
        lines = [
            {"sku": sku, "name": BY_SKU[sku].name, "quantity": quantity, "cents": BY_SKU[sku].cents * quantity}
            for sku, quantity in cart_of(request).items()
        ]
        cents = sum(line["cents"] for line in lines)  # type: ignore[misc]
        return show(request, {"lines": lines, "cents": cents}, pages.cart(lines, cents))

    async def add_to_cart(self, request: web.Request) -> web.Response:
        """Choose some; the cart is a cookie."""
        form = await request.post()
        sku, quantity = str(form.get("sku", "")), str(form.get("quantity", "1"))
        if sku not in BY_SKU or not quantity.isdecimal():
            return refuse(request, 400, "That cannot be put in the cart.")
        _, answer = await self._neighbours.get("catalog", f"/products/{sku}")
        if answer["products"][0]["stock"] == 0:
            return refuse(request, 409, "That has just sold out.")
        cart = cart_of(request)
        cart[sku] = min(cart.get(sku, 0) + int(quantity[:3]), MOST_OF_ONE)
        response = web.Response(status=303, headers={"location": "/cart"})
        response.set_cookie(CART, ".".join(f"{s}:{n}" for s, n in cart.items()), httponly=True, samesite="Lax")
        return response

    async def checkout(self, request: web.Request) -> web.Response:
        """Order what is in the cart."""
        items = [{"sku": sku, "quantity": quantity} for sku, quantity in cart_of(request).items()]
        if not items:
            return refuse(request, 400, "The cart is empty.")
        status, order = await self._neighbours.post(
            "orders", "/orders", {"order": uuid.uuid4().hex[:12], "items": items}
        )
        if status >= 400:
            return refuse(request, status, order["error"])
        response = show(request, order, pages.receipt(order), status=201)
        response.del_cookie(CART)
        return response

    async def see_order(self, request: web.Request) -> web.Response:
        """What became of an order."""
        status, order = await self._neighbours.get("orders", f"/orders/{request.match_info['order']}")
        return refuse(request, status, order["error"]) if status >= 400 else show(request, order, pages.receipt(order))


def build(place: Place) -> web.Application:
    """Home, ``/products/{sku}``, ``/search``, ``/cart``, ``/checkout``, ``/orders/{order}``."""
    neighbours = Neighbours(place.namespace)
    site = Site(neighbours)
    app = web.Application(middlewares=[say_sorry])
    app.cleanup_ctx.append(neighbours.opened)
    app.router.add_get("/", site.home)
    app.router.add_get("/search", site.search)
    app.router.add_get("/products/{sku}", site.product)
    app.router.add_get("/cart", site.see_cart)
    app.router.add_post("/cart", site.add_to_cart)
    app.router.add_post("/checkout", site.checkout)
    app.router.add_get("/orders/{order:[0-9a-f]+}", site.see_order)
    return app


def cart_of(request: web.Request) -> dict[str, int]:
    """Read the cart from its cookie; what does not read as goods is left out."""
    pairs = (line.partition(":") for line in request.cookies.get(CART, "").split("."))
    return {sku: min(int(n[:3]), MOST_OF_ONE) for sku, _, n in pairs if sku in BY_SKU and n.isdecimal()}


def show(request: web.Request, data: Mapping[str, Any], html: str, *, status: int = 200) -> web.Response:
    """JSON for who asks for it, a page for everyone else."""
    if "application/json" in request.headers.get("accept", ""):
        return web.json_response(data, status=status)
    return web.Response(text=html, content_type="text/html", status=status)


def refuse(request: web.Request, status: int, reason: str) -> web.Response:
    """Say why not."""
    return show(request, {"error": reason}, pages.sorry(reason), status=status)


@web.middleware
async def say_sorry(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer 502 in words where another program failed."""
    try:
        response: web.StreamResponse = await handler(request)
    except UnavailableError as error:
        return refuse(request, 502, f"The shop is not itself just now: {error}")
    return response
