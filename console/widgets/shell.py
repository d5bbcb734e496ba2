"""The frame around every page."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from console.views.format import NONE
from console.views.shell import ShellView, Silence
from console.widgets import parts
from console.widgets.parts import icon

NAVIGATION = (
    (
        "Observe",
        (
            ("layout-dashboard", "Overview", "/overview"),
            ("workflow", "Traffic graph", "/graph"),
            ("activity", "Traces", "/traces"),
            ("scroll-text", "Logs", "/logs"),
            ("zap", "Live requests", "/tap"),
            ("bell", "Alerts", "/alerts"),
        ),
    ),
    (
        "Inventory",
        (
            ("server", "Services", "/services"),
            ("boxes", "Workloads", "/workloads"),
            ("network", "Proxies", "/proxies"),
        ),
    ),
    (
        "Control",
        (
            ("sliders-horizontal", "Mesh config", "/config"),
            ("badge-check", "Certificates", "/certificates"),
            ("radar", "Signals", "/signals"),
        ),
    ),
)


def frame() -> Component:
    """Header, navigation and the place where pages go."""
    return html.Div(
        [
            html.Header(
                [
                    html.A(
                        [html.Img(src="/assets/favicon.svg", alt=""), html.Span("Meshscope")],
                        href="/graph",
                        className="brand",
                    ),
                    html.Span(id="shell-where", className="where"),
                    html.Span(className="grow"),
                    html.Span(id="shell-mtls"),
                    html.Span(
                        [html.Span(id="live-dot", className="pulse"), html.Span("Connecting …", id="live-text")],
                        className="status-pill",
                    ),
                    html.Button(
                        icon("moon"),
                        id="theme-toggle",
                        className="button icon-only",
                        type="button",
                        title="Switch between light and dark",
                        **parts.aria(label="Switch between light and dark"),
                    ),
                ],
                className="header",
            ),
            html.Nav(
                [*_links(), html.Div(id="shell-foot", className="nav-foot")],
                className="nav",
                **parts.aria(label="Main"),
            ),
            html.Div(id="shell-silence", className="silence"),
            dcc.Store(id="shell-pulse"),
            html.Main(id="main", className="main", tabIndex=-1),
        ],
        className="shell",
        **parts.data(pulse="shell-pulse"),
    )


def _links() -> list[Component]:
    parts: list[Component] = []
    for title, entries in NAVIGATION:
        parts.append(html.H2(title))
        for name, label, href in entries:
            badge = html.Span(id=f"nav-badge-{href[1:]}")
            parts.append(
                html.Div(
                    dcc.Link(
                        [icon(name), html.Span(label), badge],
                        href=href,
                        className="nav-link",
                        id=f"nav-{href[1:]}",
                        title=label,
                    )
                )
            )
    return parts


def where(view: ShellView) -> Component:
    """Which mesh this is."""
    return html.Span([icon("globe"), " ", html.Span("Cluster", className="muted"), f" {view.cluster}"])


def mtls(view: ShellView) -> Component:
    """The masthead's lock."""
    told = view.mtls
    name, text = "lock" if told.tone == "ok" else "lock-open", "not measured" if told.value == NONE else told.value
    return html.Span([icon(name), f"mTLS {text}"], className=f"status-pill {told.tone}", title=told.explanation)


def silence(told: Silence | None) -> Component | None:
    """One line about all pages: what they show is old, why, and the way out."""
    if told is None:
        return None
    # Its age alone changes every second: nobody wants that read out.
    age = html.Span(f"No news for {told.age}: ", **parts.aria(hidden="true"))
    why = html.Span([html.Span("No news: ", className="sr-only"), told.why, ". "], role="status")
    return parts.note("warn", html.B(age), why, parts.link("What to do about it", "/signals"))


def foot(view: ShellView) -> list[Component]:
    """The control plane in two lines."""
    return [html.B("Control plane"), *(html.Div([name, html.B(value)]) for name, value in view.control)]


def badge(number: int, tone: str) -> Component | None:
    """A count beside a navigation entry; nothing when there is nothing."""
    return html.Span(str(number), className=f"badge {tone}") if number else None
