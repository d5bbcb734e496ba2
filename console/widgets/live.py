"""Parts of a page that change while people look at them.

Dash replaces every element below a component whose children change, so keyboard focus, half-made clicks and open
details are lost. A live region is therefore sent as plain data and patched in place by ``assets/js/live.js``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from dash import MATCH, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

Plain = list[Any]

ATTRIBUTES = {"className": "class", "tabIndex": "tabindex", "dateTime": "datetime", "htmlFor": "for", "key": "data-key"}


def region(name: str, content: Any, **attributes: Any) -> Component:
    """Where live content goes, and what it is at first. Callbacks write to :func:`target`."""
    place = attributes.pop("place", html.Div)
    return html.Div(
        [
            dcc.Store(id={"type": "live", "name": name}, data=plain(content)),
            place(id=f"live-{name}", **attributes),
        ],
        id={"type": "live-region", "name": name},
        className="live-region",
    )


def target(name: str, *, also: bool = False) -> Output:
    """The output of a callback that draws a region; *also*: another callback draws it, too."""
    return Output({"type": "live", "name": name}, "data", allow_duplicate=also)


def register(app: Dash) -> None:
    """Have the browser patch regions when they have news."""
    one = {"type": "live", "name": MATCH}
    cast("Any", app).clientside_callback(
        "(content, id) => window.Meshscope.live(content, id)",
        # Dash starts a callback for what is new on the page only where it has an output; this one is never written.
        Output({"type": "live-region", "name": MATCH}, "title"),
        Input(one, "data"),
        State(one, "id"),
    )


def plain(content: Any) -> Plain:
    """Turn ``html`` components into nested lists: ``[tag, attributes, children]``, texts as they are."""
    parts = content if isinstance(content, list | tuple) else [content]
    return [_plain(part) for part in parts if part is not None]


def _plain(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return plain(part)
    if not isinstance(part, Component):
        return str(part)
    described = cast("Any", part).to_plotly_json()
    if described["namespace"] != "dash_html_components":
        raise TypeError(f"{described['type']} cannot be patched in place; use html components in live regions")
    properties = dict(described["props"])
    children = properties.pop("children", None)
    return [described["type"].lower(), _attributes(properties), plain(children)]


def _attributes(properties: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in properties.items():
        if value is None or value is False:
            continue
        if name == "style":
            found["style"] = ";".join(f"{_kebab(key)}:{one}" for key, one in value.items())
        else:
            found[ATTRIBUTES.get(name, name)] = "" if value is True else str(value)
    return found


def _kebab(name: str) -> str:
    return name if name.startswith("--") else re.sub("[A-Z]", lambda match: "-" + match[0].lower(), name)
