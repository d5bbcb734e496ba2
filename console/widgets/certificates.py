"""The certificates page's parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from console.clock import rfc3339
from console.views import format as fmt
from console.views import links
from console.views.certificates import SHORT, Detail, Link, Page, Root, Row, Step
from console.widgets import parts
from console.widgets.parts import icon
from mesh_runtime.identity.rotation import Rotation

STEP_TONES = {"done": "ok", "now": "warn", "to come": "idle"}


def actions() -> list[Component]:
    """The buttons; each asks first."""
    return [
        html.Button(
            [icon("refresh-cw"), "Rotate certificates"],
            className="button",
            type="button",
            **parts.data(dialog="rotate"),
        ),
        html.Button(
            [icon("key-round"), "Replace the root"], className="button", type="button", **parts.data(dialog="replace")
        ),
    ]


def dialogs() -> list[Component]:
    """What happens, before it does."""
    return [
        _dialog(
            "rotate",
            "Rotate all certificates?",
            "Rotate",
            html.P("Every proxy gets a new key and certificate now, signed by the present root."),
            html.P(
                "No connection is closed and no request is lost: what is open goes on with the old certificate, what is "
                "opened from now on uses the new one. The root stays as it is."
            ),
        ),
        _dialog(
            "replace",
            "Replace the mesh's root?",
            "Replace the root",
            html.P("A new root takes over in three steps:"),
            html.Ol(
                [
                    html.Li("Everybody trusts both roots."),
                    html.Li("Everybody gets a certificate of the new root."),
                    html.Li("Everybody trusts the new root alone."),
                ],
                className="numbered",
            ),
            html.P(
                "Each step waits until every proxy has acknowledged it, or its lease has ended. No request is lost, and "
                "it goes on by itself, also when the server is started again. It cannot be taken back: what the old root "
                "signed outside of this mesh is not trusted afterwards."
            ),
        ),
    ]


def _dialog(name: str, title: str, verb: str, *content: Component) -> Component:
    return html.Dialog(
        html.Div(
            [
                html.H2(title, id=f"{name}-title"),
                *content,
                html.Div(
                    [
                        html.Span(className="grow"),
                        html.Button("Cancel", className="button", type="button", **parts.data(close=name)),
                        html.Button(
                            verb,
                            id=f"{name}-confirm",
                            className="button primary",
                            type="button",
                            **parts.data(close=name),
                        ),
                    ],
                    className="wizard-foot",
                ),
            ],
            className="stack",
        ),
        id=name,
        className="dialog small",
        **parts.aria(labelledby=f"{name}-title"),
    )


def rotated(acknowledged: int, others: Sequence[str], elapsed_ms: float) -> Component:
    """Say who has a new certificate."""
    if others:
        names = ", ".join(others)
        return parts.note(
            "warn",
            html.B("Rotated. "),
            f"Acknowledged by {fmt.plural(acknowledged, 'proxy', 'proxies')}; not yet by {names}.",
        )
    return parts.note(
        "ok",
        html.B("Rotated. "),
        f"{fmt.plural(acknowledged, 'proxy', 'proxies')} acknowledged in {fmt.milliseconds(elapsed_ms)}.",
    )


def replaced(rotation: Rotation) -> Component:
    """Say that the new root has taken over."""
    root = html.Code(rotation.root[:SHORT])
    text = ("Every proxy trusts ", root, " alone.")
    return parts.note("ok", html.B("The root has been replaced. "), *text, role="status")


def certificates(view: Page) -> list[Component]:
    """The root first, then everybody's."""
    return [
        *([_steps(view.steps)] if view.steps else []),
        parts.card("Trusted by every proxy", _roots(view.roots)),
        *_rows(view),
    ]


def _steps(steps: tuple[Step, ...]) -> Component:
    return parts.card(
        "A new root takes over", html.Ol([_step(number, one) for number, one in enumerate(steps, 1)], className="steps")
    )


def _step(number: int, one: Step) -> Component:
    current: dict[str, Any] = parts.aria(current="step") if one.state == "now" else {}
    mark = icon("check") if one.state == "done" else str(number)
    return html.Li(
        [
            html.Span(mark, className="step-mark", **parts.aria(hidden="true")),
            html.Div(
                [
                    html.Div(
                        [html.B(one.title), html.Span(one.state, className=f"health {STEP_TONES[one.state]}")],
                        className="row wrap",
                    ),
                    html.Div(one.text, className="muted"),
                    *_waiting(one),
                ]
            ),
        ],
        className=f"step {one.state.replace(' ', '-')}",
        **current,
    )


def _waiting(one: Step) -> list[Component]:
    if not one.waiting:
        return []
    names = [parts.link(name, href, "chip") for name, href in one.waiting]
    more = [html.Span(f"and {fmt.count(one.more)} more", className="muted")] if one.more else []
    return [html.Div([html.Span("Waits for"), *names, *more], className="row wrap waiting")]


def _roots(roots: tuple[Root, ...]) -> Component:
    if not roots:
        return html.P("No workload has joined yet, so no proxy trusts anything.", className="muted")
    rows = [
        (
            html.Th([icon("key-round"), " ", one.name], scope="row", className="named long"),
            html.Td(one.role),
            html.Td(html.Code(one.fingerprint), className="fingerprint"),
            html.Td(
                html.Time(one.left, title=fmt.moment(one.until_ms), dateTime=rfc3339(one.until_ms)), className="num"
            ),
        )
        for one in roots
    ]
    head = (("Root", ""), ("Role", ""), ("SHA-256", ""), ("Valid for", "num"))
    return parts.scrolling("Roots", parts.table(head, rows, "Roots"), within_card=True)


def _rows(view: Page) -> list[Component]:
    if not view.rows and view.total:
        return [parts.unmatched(view.text, view.total, "certificate")]
    if not view.rows:
        return [parts.empty("badge-check", "No certificate yet", "Every workload that joins the mesh gets one.")]
    head = (
        ("Proxy", ""),
        ("Identity", ""),
        ("Serial", parts.SPARE),
        ("Valid from", parts.SPARE),
        ("Valid until", parts.SPARE),
        ("Left", ""),
        ("Signed by root", ""),
    )
    body = [_row(row, view.now_ms) for row in view.rows]
    table = parts.table(head, body, "Certificates", [row.instance for row in view.rows])
    return [parts.scrolling("Certificates", table), *parts.hidden(view.hidden)]


def _row(row: Row, now_ms: int) -> tuple[Component, ...]:
    old = [] if row.current else [html.Span("old root", className="health warn")]
    return (
        html.Th(parts.link(row.instance, row.href), scope="row"),
        html.Td(row.identity, className="mono"),
        html.Td(html.Span(row.serial[:SHORT], title=row.serial), className=f"mono {parts.SPARE}"),
        html.Td(parts.instant(row.from_ms, now_ms), className=parts.SPARE),
        html.Td(html.Time(fmt.moment(row.until_ms), dateTime=rfc3339(row.until_ms)), className=parts.SPARE),
        html.Td(_life(row)),
        html.Td([html.Span(row.root[:SHORT], title=row.root), " ", *old], className="mono"),
    )


def _life(row: Row) -> Component:
    return html.Div(
        [
            html.Div(
                html.Div(className=row.tone, style={"width": f"{row.left_share:.0%}"}),
                className="length",
                **parts.aria(hidden="true"),
            ),
            html.Span(row.left, className="bad" if row.tone == "error" else ""),
        ],
        className="life",
    )


def detail(view: Detail, now_ms: int) -> list[Component]:
    """One certificate with its chain."""
    row = view.row
    return [
        parts.page_head(
            row.instance,
            parts.link([icon("network"), "Proxy"], links.proxy(row.instance), "button"),
            parts.link([icon("arrow-left"), "All certificates"], "/certificates", "button"),
            subtitle=row.identity,
        ),
        html.Div(
            [
                parts.metric("Valid for", row.left, "", f"issued {fmt.ago(row.from_ms, now_ms)}", None),
                parts.metric("Valid until", fmt.clock(row.until_ms), "", fmt.moment(row.until_ms), None),
                parts.metric(
                    "Signed by",
                    "the present root" if row.current else "the old root",
                    "",
                    row.root[:SHORT],
                    None,
                ),
            ],
            className="tiles",
        ),
        *(_link(one, position) for position, one in enumerate(view.chain)),
    ]


def _link(one: Link, position: int) -> Component:
    name = f"pem-{position}"
    copy = html.Button([icon("copy"), "Copy PEM"], className="button", type="button", **parts.data(copy=name))
    return parts.card(
        one.title,
        parts.facts(*one.facts),
        html.Pre(one.pem, id=name, hidden=True),
        action=copy,
    )
