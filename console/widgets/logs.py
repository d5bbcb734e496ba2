"""The logs page's parts."""

from __future__ import annotations

from collections.abc import Mapping

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from console.views.logs import LEVELS, SOURCES, SPANS, Filters
from console.widgets import parts
from console.widgets.feed import feed

EMPTY = "No log yet: what meshscope run --log starts is kept, and what OpenTelemetry's exporters send"


def filters(view: Filters) -> Component:
    """Everything one can ask for; all of it is in the address."""
    return html.Div(
        [
            _choice("workload", "Every workload", view.workload, {one: one for one in view.workloads}, wide=True),
            dmc.SegmentedControl(
                id="logs-source",
                value=view.source,
                data=[{"value": value, "label": label} for value, label in SOURCES.items()],
                size="xs",
                **parts.aria(label="Which of its logs"),
            ),
            _choice("level", "Every level", view.level, LEVELS),
            _choice("since", "Whenever", view.since, SPANS),
            parts.search("logs-text", "Find in lines", view.text),
            dmc.Switch(id="logs-regex", label="Pattern", checked=view.is_pattern, size="sm"),
            dmc.TextInput(
                id="logs-trace",
                value=view.trace,
                debounce=300,
                placeholder="Trace id",
                className="filter",
                **parts.aria(label="Trace id"),
            ),
            dmc.Switch(id="logs-live", label="Live", checked=view.live, size="sm"),
        ],
        className="filters",
        role="search",
    )


def lines() -> Component:
    """Where the lines go."""
    return feed("logs", "Log lines", empty=EMPTY)


def _choice(name: str, nothing: str, value: str, options: Mapping[str, str], *, wide: bool = False) -> Component:
    field: Component = dmc.Select(
        id=f"logs-{name}",
        value=value or None,
        data=[{"value": one, "label": label} for one, label in options.items()],
        placeholder=nothing,
        clearable=True,
        searchable=wide,
        className="filter wide" if wide else "filter",
        **parts.aria(label=nothing),
    )
    return field
