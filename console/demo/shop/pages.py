"""The shop's pages as HTML text; everything that came from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #2b2320; --paper: #faf6f1; --line: #e4d9cc; --accent: #8a4b2a }
@media (prefers-color-scheme: dark) { :root { --ink: #efe6dc; --paper: #1d1815; --line: #3a302a; --accent: #e0a37d } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 62rem; padding: 0 1.5rem 3rem }
header { display: flex; gap: 1.5rem; align-items: baseline; padding: 1.2rem 0; border-bottom: 1px solid var(--line); flex-wrap: wrap }
header strong { font-size: 1.3rem; margin-right: auto } a { color: var(--accent) }
ul { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem }
li { border: 1px solid var(--line); border-radius: .6rem; padding: 1rem } small { opacity: .75 }
input, button { font: inherit; padding: .35rem .7rem; border-radius: .4rem; border: 1px solid var(--line) }
button { background: var(--accent); color: var(--paper); cursor: pointer } table { border-collapse: collapse } td { padding: .3rem 1.5rem .3rem 0 }
"""


def money(cents: int) -> str:
    """``1250`` → ``€12.50``."""
    return f"€{cents // 100}.{cents % 100:02d}"


def page(title: str, content: str) -> str:
    """Wrap the content in the shop's frame."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)} · Third Cup</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        '<header><strong>Third Cup</strong><a href="/">Shop</a><a href="/cart">Cart</a>'
        '<form action="/search" role="search"><input name="q" aria-label="Search" placeholder="kettle, beans …"></form>'
        f"</header><main><h1>{escape(title)}</h1>{content}</main></html>"
    )


def shelf(products: Iterable[Mapping[str, Any]]) -> str:
    """Cards, one per product."""
    cards = (
        f'<li><a href="/products/{escape(item["sku"])}"><b>{escape(item["name"])}</b></a><br>'
        f"<small>{escape(item['about'])}</small><br>{money(item['cents'])}{_left(item)}</li>"
        for item in products
    )
    return f"<ul>{''.join(cards)}</ul>"


def listing(title: str, answer: Mapping[str, Any]) -> str:
    """Show the shelf or a search, with what sells best where the catalog says so."""
    content = shelf(answer["products"]) if answer["products"] else "<p>Nothing on the shelf fits that.</p>"
    return page(title, content + _recommended(answer) + _version(answer))


def product(answer: Mapping[str, Any]) -> str:
    """One product, ready to be put in the cart."""
    item = answer["products"][0]
    content = (
        f"<p>{escape(item['about'])}</p><p><b>{money(item['cents'])}</b>{_left(item)}</p>"
        f'<form method="post" action="/cart"><input type="hidden" name="sku" value="{escape(item["sku"])}">'
        '<input name="quantity" aria-label="Quantity" type="number" min="1" max="9" value="1"> '
        "<button>Put in the cart</button></form>"
    )
    return page(item["name"], content + _recommended(answer) + _version(answer))


def cart(lines: Iterable[Mapping[str, Any]], cents: int) -> str:
    """Show what is in the cart, and the way to the till."""
    rows = "".join(
        f"<tr><td>{escape(line['name'])}<td>{line['quantity']} x<td>{money(line['cents'])}</tr>" for line in lines
    )
    if not rows:
        return page("Cart", '<p>Nothing in it yet. <a href="/">To the shelf</a></p>')
    return page(
        "Cart",
        f'<table>{rows}</table><p><b>{money(cents)}</b></p><form method="post" action="/checkout"><button>Pay</button></form>',
    )


def receipt(order: Mapping[str, Any]) -> str:
    """Show a paid order."""
    return page("Thank you", f"<p>Order {escape(order['order'])}: {money(order['cents'])}, on its way tomorrow.</p>")


def sorry(reason: str) -> str:
    """Say what went wrong."""
    return page("Sorry", f"<p>{escape(reason)}</p>")


def _left(item: Mapping[str, Any]) -> str:
    stock = item.get("stock")
    return "" if stock is None else f" <small>{stock} left</small>"


def _recommended(answer: Mapping[str, Any]) -> str:
    recommended = answer.get("recommended")
    return f"<h2>Others bought</h2>{shelf(recommended)}" if recommended else ""


def _version(answer: Mapping[str, Any]) -> str:
    return f"<p><small>Catalog {escape(answer['version'])}</small></p>"
