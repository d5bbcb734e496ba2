"""The config pages' parts."""

from __future__ import annotations

from collections.abc import Iterable

from dash import html
from dash.development.base_component import Component

from console.enumerated import enumerated
from console.views import format as fmt
from console.views import links
from console.views.config import Detail, Difference, Entry, Listing, RevisionView, Row
from console.widgets import parts
from console.widgets.code import code
from console.widgets.parts import icon

TONES = {"created": "ok", "deleted": "error", "changed": "warn"}


OBJECTS, HISTORY = "/config", "/config/history"


def tabs(chosen: str) -> Component:
    """Objects and history."""
    return parts.section_tabs("Config", {OBJECTS: "Objects", HISTORY: "History"}, chosen)


def kinds(view: Listing) -> Component:
    """What there is, as a filter."""
    options = [("", "All", view.total), *((kind, kind, number) for kind, number in view.kinds)]
    return html.Div(
        [
            html.Button(
                [label, html.Span(str(number), className="count")],
                className="button",
                type="button",
                **parts.data(sort=value or "all", store="config-kind"),
                **parts.aria(pressed="true" if view.kind == value else "false"),
            )
            for value, label, number in options
        ],
        className="row wrap",
        role="group",
        **parts.aria(label="Kind"),
    )


def rows(view: Listing, now_ms: int) -> Component:
    """The objects."""
    if not view.rows and view.total:
        return parts.empty("search", "No object matches", f"{fmt.plural(view.total, 'object')} in all.")
    if not view.rows:
        return parts.empty(
            "file-code",
            "Nothing is configured yet",
            "Config is Istio's YAML. Apply a file with:",
            html.Code("meshscope apply -f mesh.yaml"),
        )
    body = [
        (
            html.Th([icon(row.icon), " ", parts.link(row.name, row.href)], scope="row", className="named"),
            html.Td(row.kind),
            html.Td(row.namespace or "–"),
            html.Td(_verdict(row)),
            html.Td(_origin(row)),
            html.Td(row.by),
            html.Td(parts.instant(row.at_ms, now_ms) if row.at_ms else None, className="num"),
        )
        for row in view.rows
    ]
    head = (
        ("Name", ""),
        ("Kind", ""),
        ("Namespace", ""),
        ("State", ""),
        ("Last written in", ""),
        ("By", ""),
        ("When", "num"),
    )
    table = parts.scrolling("Config objects", parts.table(head, body, "Config objects"))
    return (
        html.Div([table, html.P(f"{view.more} more; search for what you need", className="muted")])
        if view.more
        else table
    )


def _origin(row: Row) -> Component | str:
    if row.cluster:
        return f"cluster {row.cluster}"
    if row.revision:
        return parts.link(f"Revision {row.revision}", f"/config/history/{row.revision}")
    return "leased by an agent"


def _verdict(row: Row) -> Component:
    """What the proxies say to it; whatever is in the list has passed every check of its own."""
    if row.cluster:
        return html.Span("Not checked here", className="muted")
    if not row.complaints:
        return html.Span([html.Span(className="dot ok"), " Valid"], className="sync")
    tone = "error" if any(one.trouble.tone == "error" for one in row.complaints) else "warn"
    word = "Rejected" if tone == "error" else "Not all served"
    return html.Span([html.Span(className=f"dot {tone}"), word], className=f"health {tone}")


def detail(view: Detail, now_ms: int) -> list[Component]:
    """One object."""
    content: list[Component] = [
        parts.page_head(
            view.title,
            html.Button(
                [icon("copy"), "Copy YAML"], className="button", type="button", **parts.data(copy="config-yaml")
            ),
            parts.link([icon("arrow-left"), "All objects"], "/config", "button"),
            subtitle=view.subtitle,
        )
    ]
    if view.leased:
        content.append(
            parts.note(
                "info",
                html.B("Leased, not configured. "),
                "An agent keeps this entry for as long as its workload runs.",
            )
        )
    if view.written:
        content.append(
            parts.note(
                "info",
                html.B(f"In cluster {view.written.cluster}. "),
                "It is shown as the cluster has it, and changed there.",
            )
        )
    if view.redacted:
        content.append(
            parts.note(
                "info",
                html.B("Values are hidden. "),
                "Each shows the beginning of its hash, so that one sees when it changes; nobody can read it back.",
            )
        )
    for one in view.complaints:
        whose = [parts.link(html.B(one.instance), links.proxy(one.instance)), ": "]
        content.append(
            parts.note(one.trouble.tone, *whose, one.trouble.head, *(part.text for part in one.trouble.text))
        )
    content += [
        html.Pre(view.text, id="config-yaml", hidden=True),
        html.Div(
            [code(view.yaml, "YAML"), html.Div(parts.card("History", _past(view, now_ms)), className="stack")],
            className="columns",
        ),
    ]
    return content


def _past(view: Detail, now_ms: int) -> Component:
    if view.history:
        return history_list(view.history, now_ms)
    if view.written:
        last = parts.instant(view.written.at_ms, now_ms) if view.written.at_ms else "at an unknown time"
        return html.P([f"Last written by {view.written.by or 'somebody'}, ", last])
    return html.P("It has no history.", className="muted")


def history_list(entries: Iterable[Entry], now_ms: int) -> Component:
    """Revisions, newest first."""
    return html.Ul(
        [
            html.Li(
                [
                    html.Span(str(item.number), className="revision"),
                    html.Div(
                        [
                            parts.link(item.reason, item.href),
                            html.Div([f"{item.author}, ", parts.instant(item.at_ms, now_ms)], className="muted"),
                        ]
                    ),
                ],
                className="entry",
            )
            for item in entries
        ],
        className="entries",
    )


def history(entries: Iterable[Entry], now_ms: int) -> Component:
    """The whole history as a table."""
    body = [
        (
            html.Th(
                [
                    parts.link(f"Revision {item.number}", item.href),
                    " ",
                    html.Span("current", className="count") if item.current else None,
                ],
                scope="row",
            ),
            html.Td(item.reason),
            html.Td(item.author),
            html.Td(enumerated(item.changed, 3)),
            html.Td(parts.instant(item.at_ms, now_ms), className="num"),
        )
        for item in entries
    ]
    if not body:
        return parts.empty("history", "No revision yet", "Every change makes one, with who, when and why.")
    head = (("Revision", ""), ("Why", ""), ("Who", ""), ("Changed", ""), ("When", "num"))
    return parts.scrolling("History", parts.table(head, body, "History"))


def revision(view: RevisionView, now_ms: int) -> list[Component]:
    """One revision."""
    entry = view.entry
    rollback = (
        html.Button(
            [icon("rotate-ccw"), "Roll back to this"],
            className="button",
            type="button",
            **parts.data(dialog="rollback"),
        )
        if view.back
        else html.Span("The config now equals this revision", className="muted")
    )
    return [
        parts.page_head(
            f"Revision {entry.number}",
            rollback,
            parts.link([icon("arrow-left"), "History"], "/config/history", "button"),
            subtitle=f"{entry.reason} · by {entry.author}, {fmt.moment(entry.at_ms)} ({fmt.ago(entry.at_ms, now_ms)})",
        ),
        html.Div(id="rollback-outcome", **parts.aria(live="polite")),
        *(_difference(item) for item in view.differences),
        _dialog(view),
    ]


def _difference(item: Difference) -> Component:
    name = parts.link(item.name, item.href) if item.href else item.name
    return html.Section(
        [
            html.Div(
                [html.H2(name), html.Span(item.action, className=f"health {TONES[item.action]}")], className="card-head"
            ),
            code(item.lines, f"{item.name}, {item.action}"),
        ],
        className="stack tight",
    )


def _dialog(view: RevisionView) -> Component:
    """Asks before going back, and shows what would change."""
    return html.Dialog(
        html.Div(
            [
                html.H2(f"Roll back to revision {view.entry.number}?", id="rollback-title"),
                html.P(
                    f"This writes a new revision equal to revision {view.entry.number}. Nothing of the history is lost. "
                    f"{fmt.plural(len(view.back), 'object')} would change:"
                ),
                html.Div([_difference(item) for item in view.back], className="dialog-scroll stack"),
                html.Div(
                    [
                        html.Span(className="grow"),
                        html.Button("Cancel", className="button", type="button", **parts.data(close="rollback")),
                        html.Button(
                            [icon("rotate-ccw"), "Roll back"],
                            id="rollback-confirm",
                            className="button primary",
                            type="button",
                            **parts.data(close="rollback"),
                        ),
                    ],
                    className="wizard-foot",
                ),
            ],
            className="stack",
        ),
        id="rollback",
        className="dialog",
        **parts.aria(labelledby="rollback-title"),
    )
