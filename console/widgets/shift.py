"""The traffic shifting wizard's parts."""

from __future__ import annotations

from collections.abc import Iterable

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from console.views.shift import Outcome, Proposal, Said, Slider, Start
from console.views.yaml import Line
from console.widgets import parts
from console.widgets.code import code
from console.widgets.parts import icon


def form(view: Start, done: Component | None = None) -> Component:
    """Sliders on the left, what they would change on the right."""
    if view.obstacle:
        return html.Div([_head(view.title), parts.note("info", view.obstacle)], className="stack")
    return html.Div(
        [
            dcc.Store(id="wizard-pulse"),
            _head(view.title),
            html.Div(
                [
                    html.Div(
                        [
                            html.P(
                                view.hint or "Drag a weight; the others adjust to keep the total at 100 %.",
                                className="muted",
                            ),
                            *([_gateways(view)] if len(view.gateways) > 1 else []),
                            *(_slider(slider) for slider in view.sliders),
                            html.Div(
                                [
                                    html.Div(
                                        style={"width": f"{item.weight}%", "background": item.color},
                                        id={"type": "share", "subset": item.subset},
                                    )
                                    for item in view.sliders
                                ],
                                className="shares",
                                **parts.aria(hidden="true"),
                            ),
                            html.P(id="wizard-observed", className="muted number"),
                            html.Div(id="wizard-findings", className="stack", **parts.aria(live="polite")),
                        ],
                        className="stack",
                    ),
                    html.Div(id="wizard-preview", className="stack"),
                ],
                className="wizard-columns",
            ),
            html.Div(
                [
                    html.Div(done, id="wizard-outcome", className="grow", **parts.aria(live="polite")),
                    html.Button("Close", className="button", type="button", **parts.data(close="wizard")),
                    html.Button(
                        [icon("check"), "Apply"],
                        id="wizard-apply",
                        className="button primary",
                        type="button",
                        disabled=True,
                    ),
                ],
                className="wizard-foot",
            ),
        ],
        className="stack",
        **parts.data(pulse="wizard-pulse"),
    )


def _head(title: str) -> Component:
    return html.Div(
        [
            html.H2(title, id="wizard-title"),
            html.Span(className="grow"),
            html.Button(
                icon("x"),
                className="button icon-only",
                type="button",
                **parts.aria(label="Close"),
                **parts.data(close="wizard"),
            ),
        ],
        className="row",
    )


def _gateways(view: Start) -> Component:
    return html.Label(
        [
            html.Span("Whose requests", className="muted"),
            dmc.SegmentedControl(
                id="wizard-gateway",
                value=view.gateway,
                data=[{"value": value, "label": label} for value, label in view.gateways],
            ),
        ],
        className="row",
    )


def _slider(slider: Slider) -> Component:
    return html.Div(
        [
            html.Div(
                [
                    html.Span(slider.subset, className="version-tag", style={"background": slider.color}),
                    html.Span(
                        slider.facts,
                        id={"type": "wizard-facts", "subset": slider.subset},
                        className="bad muted" if slider.failing else "muted",
                    ),
                    html.Span(className="grow"),
                    html.Span(
                        f"{slider.weight} %",
                        id={"type": "weight-text", "subset": slider.subset},
                        className="weight number",
                    ),
                ],
                className="row",
            ),
            dmc.Slider(
                id={"type": "weight", "subset": slider.subset},
                value=slider.weight,
                min=0,
                max=100,
                step=1,
                size=6,
                label=None,
                updatemode="drag",
                thumbLabel=f"Weight of {slider.subset} in percent",
                marks=[{"value": mark} for mark in (25, 50, 75)],
                style={"--slider-color": slider.color},
            ),
        ],
        className="weight-card",
    )


def findings(view: Proposal) -> list[Component]:
    """What the checks say; that they found nothing is said, too."""
    if not view.said:
        return (
            [parts.note("ok", html.B("Checked. "), "Subsets exist, no competing object, and the dry run passed.")]
            if view.appliable
            else []
        )
    passed = view.appliable and not any(item.tone == "error" for item in view.said)
    return [*map(_said, view.said), *([parts.note("ok", html.B("The dry run passed."))] if passed else [])]


def _said(item: Said) -> Component:
    return parts.note(item.tone, item.message, " ", html.Span(item.code, className="mono muted"))


def preview(view: Proposal) -> list[Component]:
    """The diff against what is live."""
    if not view.documents:
        return [
            html.Div(
                [html.B("Live now"), html.Span(className="grow"), html.Span(view.summary, className="muted")],
                className="row",
            ),
            *_documents(view.live),
        ]
    return [
        html.Div(
            [
                html.B("What changes"),
                html.Span(className="grow"),
                html.Span(view.summary, className="muted"),
            ],
            className="row",
        ),
        *_documents(view.documents),
        html.Pre(
            "\n".join("".join(token.text for token in line.tokens) for line in view.proposed),
            id="wizard-yaml",
            hidden=True,
        ),
        html.Div(
            html.Button(
                [icon("copy"), "Copy YAML"], className="button", type="button", **parts.data(copy="wizard-yaml")
            )
        ),
    ]


def _documents(documents: Iterable[tuple[str, tuple[Line, ...]]]) -> list[Component]:
    return [html.Div([html.Div(name, className="code-name mono"), code(shown, name)]) for name, shown in documents]


def outcome(view: Outcome) -> Component:
    """Done: revision, who has it, and the way back."""
    return html.Div(
        [
            parts.note(view.tone, html.B(f"{view.title} "), " ".join(view.sentences)),
            *(
                [html.Button([icon("rotate-ccw"), "Undo"], id="wizard-undo", className="button", type="button")]
                if view.undo
                else []
            ),
        ],
        className="row outcome",
    )


def trouble(message: str) -> Component:
    """It was refused: nothing has changed."""
    return parts.note("error", html.B("Not applied, nothing has changed. "), message, role="alert")
