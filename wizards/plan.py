"""What a change would do, before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey
from mesh_runtime.api.text import dump
from mesh_runtime.store.diff import unified
from mesh_runtime.store.port import Change
from wizards.analyzers.findings import Finding, Level
from wizards.analyzers.split import check
from wizards.facts import Facts
from wizards.intents import Foreign, Reading, Split
from wizards.writers.istio import read, write
from wizards.writers.routes import claims, subset_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """One object on both sides of a change; ``None``: it is not there."""

    key: ObjectKey
    old: ConfigObject | None
    new: ConfigObject | None

    @property
    def old_yaml(self) -> str:
        """Canonical YAML of what is live; empty where nothing is."""
        return dump([self.old]) if self.old else ""

    @property
    def new_yaml(self) -> str:
        """Canonical YAML of what would be; empty where it would be deleted."""
        return dump([self.new]) if self.new else ""

    @property
    def diff(self) -> str:
        """Unified diff of the two."""
        return unified(self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change that has been thought through; immutable."""

    intent: Split
    now: Reading
    """What the live config says."""
    changes: tuple[ObjectChange, ...]
    findings: tuple[Finding, ...]
    revision: int
    """Of the config that was looked at."""
    planned_on: Mapping[ObjectKey, int]
    """Every object that mattered, and the revision that last changed it (0: it was not there)."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stands in the way; empty: it can be applied."""
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)

    @property
    def diff(self) -> str:
        """All diffs in one text."""
        return "".join(change.diff for change in self.changes)

    @property
    def title(self) -> str:
        """Say in one line what it is about."""
        shares = ", ".join(f"{subset} {weight} %" for subset, weight in self.intent.weights.items())
        return f"{self.intent.label}: {self.intent.namespace}/{self.intent.service} {shares}"

    def change(self, *, author: str, reason: str = "") -> Change:
        """Make the transaction."""
        return Change(
            put=tuple(change.new for change in self.changes if change.new),
            delete=tuple(change.key for change in self.changes if not change.new),
            planned_on=self.planned_on,
            author=author,
            reason=reason or self.title,
        )


def plan(split: Split, config: Config, facts: Facts | None = None) -> Plan:
    """Plan a split on a config. Where the live config cannot be changed, the plan has errors and no changes."""
    written = write(split, config)
    put = () if isinstance(written, Foreign) else written
    mattered = (
        *claims(config, split.namespace, split.service, split.gateway),
        *subset_rules(config, split.namespace, split.service),
        *put,
    )
    return Plan(
        intent=split,
        now=read(config, split.namespace, split.service, split.gateway),
        changes=tuple(ObjectChange(key=item.key, old=config.objects.get(item.key), new=item) for item in put),
        findings=check(split, config, facts),
        revision=config.revision,
        planned_on={item.key: config.changed_in.get(item.key, 0) for item in mattered},
    )
