"""The traffic shifting wizard: where it starts, what a plan would do, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.views import format as fmt
from console.views.yaml import Line, compared, lines
from graph.model import Snapshot
from mesh_runtime.api import Config, dump
from wizards.facts import VersionFacts
from wizards.intents import MESH, Foreign, Unsplit
from wizards.plan import Plan
from wizards.ports import Applied
from wizards.situation import Option, Situation

TONES = {"error": "error", "warning": "warn", "info": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slider:
    """One version."""

    subset: str
    weight: int
    facts: str
    failing: bool
    color: str
    """A CSS custom property."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The form."""

    service: str
    title: str
    gateway: str
    gateways: tuple[tuple[str, str], ...]
    sliders: tuple[Slider, ...]
    obstacle: str = ""
    """Why there is nothing to shift, with the way out."""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A finding in its tone."""

    tone: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a plan would change."""

    said: tuple[Said, ...]
    live: tuple[tuple[str, tuple[Line, ...]], ...]
    """What is there now and would be looked at."""
    documents: tuple[tuple[str, tuple[Line, ...]], ...]
    """Each object's name and its lines, live against proposed."""
    proposed: tuple[Line, ...]
    """The YAML that would be."""
    appliable: bool
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an apply or an undo did."""

    tone: str
    title: str
    sentences: tuple[str, ...]
    undo: str
    """The change to take back; empty: none."""


def start(situation: Situation) -> Start:
    """Make the form."""
    name = f"{situation.service}.{situation.namespace}"
    sliders = tuple(_slider(option, number) for number, option in enumerate(situation.options))
    obstacle = ""
    if isinstance(situation.now, Foreign):
        obstacle = f"Its routing is made by hand in a way this wizard cannot express: {situation.now.reason}."
    elif len(sliders) < 2:
        obstacle = (
            f"Only one version of {situation.service} runs. Start another, for example with "
            f"meshscope run --service {situation.service} -n {situation.namespace} --version v2 …"
        )
    hint = (
        "Nothing divides the requests yet: they go to all instances alike."
        if isinstance(situation.now, Unsplit)
        else ""
    )
    gateways = tuple(
        (item, "calls between workloads" if item == MESH else f"through gateway {item}") for item in situation.gateways
    )
    return Start(
        service=f"{situation.namespace}/{situation.service}",
        title=f"Shift traffic of {name}",
        gateway=situation.gateway,
        gateways=gateways,
        sliders=sliders,
        obstacle=obstacle,
        hint=hint,
    )


def facts_text(facts: VersionFacts | None) -> str:
    """How a version does now, in one line."""
    if facts is None or not facts.instances:
        return "not running"
    running = fmt.plural(facts.instances, "instance")
    if not facts.requests:
        return f"{running} · no traffic now"
    return (
        f"{running} · {fmt.rate(facts.rate)} rps · p95 {fmt.milliseconds(facts.p95_ms)}"
        f" · {fmt.percent(facts.error_ratio)} errors"
    )


def observed(situation: Situation, recent: Snapshot) -> str:
    """The split as callers see it, by the requests of the last moments (*recent*: versioned apps)."""
    rates = {option.subset: _rate(option, recent, situation.namespace) for option in situation.options}
    total = sum(rates.values())
    if not total:
        return "No requests in the last seconds, so the split cannot be observed yet."
    shares = " · ".join(f"{name} {fmt.percent(rate / total)}" for name, rate in rates.items())
    return f"Observed in the last {fmt.window(recent.window_s)}: {shares}. Each version's own numbers are the last minute's."


def _rate(option: Option, recent: Snapshot, namespace: str) -> float:
    if option.facts is None:
        return 0.0
    wanted = (namespace, option.facts.labels.get("app", ""), option.facts.version)
    return sum(
        node.inbound.rate
        for node in recent.nodes.values()
        if node.inbound and (node.namespace, node.app, node.version) == wanted
    )


def proposal(plan: Plan, config: Config) -> Proposal:
    """Describe a plan."""
    said = tuple(Said(tone=TONES[item.level], code=item.code, message=item.message) for item in plan.findings)
    count = len(plan.changes)
    if plan.errors:
        summary = "Cannot be applied as it is."
    elif not count:
        summary = "Move a slider: the change appears here before anything happens."
    else:
        summary = f"{fmt.plural(count, 'object')} · live → proposed"
    return Proposal(
        said=said,
        live=tuple(
            (str(key), lines(dump([config.objects[key]])))
            for key in plan.planned_on
            if key.kind == "VirtualService" and key in config.objects
        ),
        documents=tuple((str(item.key), compared(item.old_yaml, item.new_yaml)) for item in plan.changes),
        proposed=lines("---\n".join(item.new_yaml for item in plan.changes)),
        appliable=bool(count) and not plan.errors,
        summary=summary,
    )


def outcome(applied: Applied, *, undone: bool) -> Outcome:
    """Describe what was done and who has it."""
    settled = applied.settled
    total = settled.acknowledged + len(settled.waiting) + len(settled.rejected)
    done = f"{settled.acknowledged} of {fmt.plural(total, 'proxy', 'proxies')} acknowledged in {fmt.milliseconds(settled.elapsed_ms)}."
    sentences = [f"Revision {applied.revision}. {done}"]
    sentences += [f"Refused by {name}." for name in settled.rejected]
    if settled.waiting:
        sentences.append(f"No answer yet from {', '.join(settled.waiting)}.")
    if not applied.readback_ok:
        sentences.append("Read back: the store holds something else. Look at the history before going on.")
    elif undone:
        sentences.append("Read back: every object is byte for byte what it was before.")
    else:
        sentences.append("Read back: the store holds exactly this.")
    good = settled.complete and applied.readback_ok
    return Outcome(
        tone="ok" if good else "warn",
        title=("Taken back." if undone else "Applied.") if good else "Written, but look here:",
        sentences=tuple(sentences),
        undo="" if undone else applied.id,
    )


def weights(view: Start) -> Mapping[str, int]:
    """Where the sliders start."""
    return {slider.subset: slider.weight for slider in view.sliders}


def _slider(option: Option, number: int) -> Slider:
    facts = option.facts
    return Slider(
        subset=option.subset,
        weight=option.weight,
        facts=facts_text(facts),
        failing=bool(facts and facts.error_ratio >= 0.01 and facts.requests),
        color=f"var(--v{number % 4 + 1})",
    )
