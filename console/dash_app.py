"""The page: one Dash application on the console's FastAPI server.

Dash draws the frame, the panels and the lists; the live graph is the browser's own (``assets/js``) and
comes over ``/api/v1/stream``. Every callback is ``async def`` and only reads finished snapshots.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html, set_props
from fastapi.responses import RedirectResponse

from console import pages
from console.pages import certificates, frame, proxies, services, wizard, workloads
from console.widgets import live, parts, shell

if TYPE_CHECKING:
    from dash.development.base_component import Component
    from fastapi import FastAPI

    from console.context import Console

log = logging.getLogger(__name__)

PACKAGED_ASSETS = Path(__file__).parent / "assets"
CHECKOUT_ASSETS = Path(__file__).parent.parent / "assets"
ASSETS = PACKAGED_ASSETS if PACKAGED_ASSETS.is_dir() else CHECKOUT_ASSETS

OF_A_NAMESPACE = {services.PATH: "/{}/", workloads.PATH: "/{}/", proxies.PATH: "{}/", certificates.PATH: "{}/"}
"""Lists, and what finds in each what is of one namespace."""

INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
    <link rel="preload" href="/assets/vendor/fonts/inter-latin-wght-normal.woff2" as="font" type="font/woff2" crossorigin>
    <script src="/assets/early.js"></script>
    <link rel="stylesheet" href="/assets/vendor/icons.css">
    {%css%}
    <script type="module" src="/assets/js/main.js"></script>
  </head>
  <body>
    {%app_entry%}
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>"""


def build(console: Console, server: FastAPI) -> Dash:
    """Mount the page on *server*. Its catch-all route comes last, so routes added before it win."""
    for path, search in OF_A_NAMESPACE.items():
        server.add_api_route(path + "/{namespace}", _narrow(path, search), include_in_schema=False)
    app = Dash(
        "meshscope",
        server=cast("Any", server),
        backend="fastapi",
        assets_folder=str(ASSETS),
        assets_path_ignore=["vendor", "js"],  # modules and workers load themselves
        assets_ignore=r"early\.js",
        index_string=INDEX,
        pages_folder="",
        use_pages=False,
        serve_locally=True,
        title="Meshscope",
        update_title=cast("Any", None),
        compress=False,
        suppress_callback_exceptions=True,
        on_error=_failed,
    )
    app.layout = _layout()
    _route(app, console)
    live.register(app)
    frame.register(app, console)
    wizard.register(app, console)
    for page in pages.ALL:
        page.register(app, console)
    # Dash completes its page when `/` is first asked for; who came by another address got one without styles.
    cast("Any", app)._setup_server()  # noqa: SLF001
    return app


def _narrow(path: str, search: str) -> Callable[[str], Awaitable[RedirectResponse]]:
    """Lead from the address of a namespace, as in ``/services/shop``, to the list of what is in it."""

    async def narrowed(namespace: str) -> RedirectResponse:
        return RedirectResponse(f"{path}?{urlencode({'q': search.format(namespace)})}")

    return narrowed


def _layout() -> Component:
    provider: Component = dmc.MantineProvider(
        [
            html.A("Skip to the content", href="#main", className="skip"),
            dcc.Location(id="url", refresh="callback-nav"),
            shell.frame(),
            wizard.place(),
            html.Div(id="toast", className="toast", **parts.aria(live="assertive")),
        ],
        defaultColorScheme="auto",
        theme={
            "fontFamily": "var(--sans)",
            "fontFamilyMonospace": "var(--mono)",
            "primaryColor": "indigo",
            "defaultRadius": "md",
        },
    )
    return provider


def _route(app: Dash, console: Console) -> None:
    @app.callback(
        Output("main", "children"), Output("main", "data-path"), Input("url", "pathname"), Input("url", "search")
    )
    async def show(pathname: str | None, search: str | None) -> tuple[Component, str]:
        path = pathname or "/"
        page, rest = pages.find(path)
        if page is None:
            return _unknown(path), path
        parameters = dict(parse_qsl((search or "").removeprefix("?")))
        return await page.show(console, rest, parameters), path


def _unknown(pathname: str) -> Component:
    return parts.page(
        "Nothing here",
        parts.empty(
            "circle-help", f"The console has no page {pathname}", parts.link("Go to the traffic graph", pages.HOME)
        ),
    )


def _failed(error: Exception) -> None:
    """The callback boundary: what went wrong is logged whole; the page keeps what it showed and says so."""
    log.error("a page callback failed", exc_info=error)
    set_props("toast", {"children": parts.note("error", f"That did not work: {error}", role="alert")})
