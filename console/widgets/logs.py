"""The logs page's parts."""

from __future__ import annotations

from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from console.views.logs import LEVELS, SOURCES, SPANS, Filters
from console.widgets import parts
from console.widgets.feed import feed

EMPTY = "No log yet: what meshscope run --log starts is kept, and what OpenTelemetry's exporters send"


def filters(view: Filters) -> Component:
    """Everything one can ask for."""
    return parts.filters(
        parts.choice("logs-workload", "Every workload", view.workload, {one: one for one in view.workloads}, wide=True),
        dmc.SegmentedControl(
            id="logs-source",
            value=view.source,
            data=[{"value": value, "label": label} for value, label in SOURCES.items()],
            size="xs",
            **parts.aria(label="Which of its logs"),
        ),
        parts.choice("logs-level", "Every level", view.level, LEVELS),
        parts.choice("logs-since", "Whenever", view.since, SPANS),
        parts.search("logs-text", "Find in lines", view.text),
        parts.switch("logs-regex", "Regular expression", on=view.is_pattern),
        parts.field("logs-trace", "Trace id", view.trace),
        parts.switch("logs-live", "Live", on=view.live),
    )


def lines() -> Component:
    """Where the lines go."""
    return feed("logs", "Log lines", empty=EMPTY)


def of_workload(namespace: str, workload: str) -> Component:
    """What one workload and its proxies write, in little room; may stand in a live region."""
    asked = urlencode({"namespace": namespace, "workload": workload})
    shown = feed("logs", f"Log lines of {workload}", empty=EMPTY, asked=asked)
    return html.Div(shown, className="feed-compact", key=f"logs {asked}")
