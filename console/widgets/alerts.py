"""The alerts page's parts."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.alerts import FAULTS, Alerts, DeliveryRow, Letter, Row
from console.widgets import parts
from console.widgets.parts import icon


def alerts(view: Alerts) -> list[Component]:
    """What fires, what it was, the rules, the deliveries."""
    return [
        _firing(view),
        html.Div(
            [
                html.Div([_past(view), _deliveries(view)], className="stack"),
                html.Div([_rules(view), _endpoints(view)], className="stack"),
            ],
            className="columns",
        ),
    ]


def _firing(view: Alerts) -> Component:
    if not view.firing and not view.pending:
        return parts.note(
            "ok",
            html.B("Nothing fires. "),
            f"{fmt.plural(len(view.rules), 'rule is', 'rules are')} checked every second.",
        )
    return parts.card(
        "Now", html.Ul([_alert(item, view.now_ms) for item in (*view.firing, *view.pending)], className="entries")
    )


def _alert(item: Row, now_ms: int) -> Component:
    return html.Li(
        [
            html.Span([html.Span(className=f"dot {item.tone}"), item.state], className=f"health {item.tone}"),
            html.Div(
                [
                    parts.link(item.rule, item.href),
                    html.Span(f" {item.severity}", className="muted"),
                    html.Div(item.summary, className="muted"),
                ],
                className="grow",
            ),
            html.Span(["began ", parts.instant(item.at_ms, now_ms)], className="muted"),
        ],
        className="entry",
    )


def _past(view: Alerts) -> Component:
    if not view.past:
        return parts.card("Firing and resolved", html.P("No alert has fired yet.", className="muted"))
    rows = [
        (
            html.Td(html.Span(item.state, className=f"health {item.tone}")),
            html.Th([parts.link(item.rule, item.href), html.Div(item.summary, className="muted")], scope="row"),
            html.Td(parts.instant(item.at_ms, view.now_ms), className="num"),
        )
        for item in view.past
    ]
    return parts.card(
        "Firing and resolved", parts.table((("", ""), ("Alert", ""), ("When", "num")), rows, "Past alerts")
    )


def _rules(view: Alerts) -> Component:
    return parts.card(
        "Rules",
        html.Ul(
            [
                html.Li(
                    [
                        html.Span(className=f"dot {'error' if item.firing else 'ok'}"),
                        html.Div(
                            [
                                html.B(item.name),
                                html.Div(f"{item.condition} · {item.scope} · {item.severity}", className="muted"),
                            ]
                        ),
                    ],
                    className="entry",
                )
                for item in view.rules
            ],
            className="entries",
        ),
    )


def _endpoints(view: Alerts) -> Component:
    if not view.endpoints:
        return parts.card(
            "Receivers",
            html.P("Nobody is told yet. Name a receiver in meshscope.toml:", className="muted"),
            html.Pre(
                '[[webhooks.endpoints]]\nname = "on-call"\nurl = "https://…"\nsecrets = ["whsec_…"]',
                className="snippet",
            ),
        )
    return parts.card(
        "Receivers",
        html.Ul(
            [
                html.Li(
                    [
                        html.Span(className=f"dot {'error' if why else 'ok'}"),
                        html.Div(
                            [
                                html.B(name),
                                html.Div(url, className="muted mono"),
                                html.Div(f"Disabled: {why}. Replay a delivery to enable it again.", className="bad")
                                if why
                                else None,
                            ]
                        ),
                    ],
                    className="entry",
                )
                for name, url, why in view.endpoints
            ],
            className="entries",
        ),
    )


def _deliveries(view: Alerts) -> Component:
    if not view.deliveries:
        return parts.card("Deliveries", html.P("Nothing has been sent yet.", className="muted"))
    head = (("State", ""), ("Event", ""), ("To", ""), ("Tries", "num"), ("Last answer", ""), ("When", "num"), ("", ""))
    rows = [_delivery(item, view.now_ms) for item in view.deliveries]
    return parts.card(
        "Deliveries", parts.scrolling("Deliveries", parts.table(head, rows, "Deliveries"), within_card=True)
    )


def _delivery(item: DeliveryRow, now_ms: int) -> list[Component]:
    replay = html.Button(
        [icon("send"), "Replay"],
        className="button",
        type="button",
        title="Replay",
        **parts.data(replay=str(item.number)),
        **parts.aria(label=f"Replay delivery {item.number}"),
    )
    return [
        html.Td(html.Span(item.state, className=f"health {item.tone}")),
        html.Th(item.type, scope="row"),
        html.Td(item.endpoint),
        html.Td(str(item.attempts), className="num"),
        html.Td(item.text or "–"),
        html.Td(parts.instant(item.at_ms, now_ms), className="num"),
        html.Td(replay if item.replay else None, className="num"),
    ]


def faults(mode: str, trouble: str = "") -> Component:
    """The demo's switches."""
    explained = next((text for name, _, text in FAULTS if name == mode), mode)
    return parts.card(
        "Faults of the demo",
        html.Div(
            [
                html.Div(
                    [
                        html.Button(
                            label,
                            type="button",
                            **parts.data(fault=name),
                            **parts.aria(pressed=str(name == mode).lower()),
                        )
                        for name, label, _ in FAULTS
                    ],
                    className="segmented",
                    role="group",
                    **parts.aria(label="Fault"),
                ),
                html.Span(f"{explained}. The switch is config: it has a revision, and undo.", className="muted"),
            ],
            className="row wrap",
        ),
        *([parts.note("error", trouble, role="alert")] if trouble else []),
    )


def inbox(letters: Sequence[Letter] | None, now_ms: int) -> Component:
    """What the demo's receiver got; ``None``: it does not answer."""
    if letters is None:
        return parts.card(
            "The demo's inbox", parts.note("warn", "The inbox does not answer. It ends and starts with the demo.")
        )
    if not letters:
        return parts.card(
            "The demo's inbox",
            html.P(
                "Empty. Switch a fault on: within seconds an alert fires and a signed letter arrives.",
                className="muted",
            ),
        )
    return parts.card(
        "The demo's inbox",
        html.Ul(
            [
                html.Li(
                    [
                        html.Span(
                            item.status.capitalize(),
                            className=f"health {'ok' if item.status == 'resolved' else 'error'}",
                        ),
                        html.Div(
                            [
                                html.B(item.text),
                                html.Div(
                                    [
                                        icon("shield-check"),
                                        " signature verified" if item.verified else " signature NOT verified",
                                        f" · id {item.id}",
                                        f" · received {item.copies} times" if item.copies > 1 else "",
                                    ],
                                    className="muted",
                                ),
                            ],
                            className="grow",
                        ),
                        parts.instant(item.at_ms, now_ms),
                    ],
                    className="entry",
                )
                for item in letters
            ],
            className="entries",
        ),
    )
