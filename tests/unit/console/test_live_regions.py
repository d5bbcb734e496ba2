from __future__ import annotations

import dash_mantine_components as dmc
import pytest
from dash import html

from console.widgets import live


def test_components_become_tags_attributes_and_children():
    button = html.Button(["Go ", None, html.B(3)], className="x", disabled=True, hidden=False, **{"data-shift": "a/b"})
    assert live.plain(button) == [
        ["button", {"class": "x", "disabled": "", "data-shift": "a/b"}, ["Go ", ["b", {}, ["3"]]]]
    ]


def test_styles_are_written_as_in_a_style_sheet():
    bar = html.Div(style={"paddingLeft": "4px", "--color": "red"})
    assert live.plain(bar) == [["div", {"style": "padding-left:4px;--color:red"}, []]]


def test_what_cannot_be_patched_is_refused():
    with pytest.raises(TypeError, match="Slider"):
        live.plain(html.Div(dmc.Slider()))
