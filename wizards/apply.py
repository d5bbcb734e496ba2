"""Makes planned changes, and takes them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mesh_runtime.api.objects import ConfigError, ConfigObject, ObjectKey
from mesh_runtime.store.port import Before, Change, ConfigStore, Revision
from wizards import plan as planning
from wizards.analyzers.findings import Finding, Level
from wizards.facts import Facts
from wizards.intents import MESH, Split, WizardError
from wizards.plan import Plan
from wizards.ports import Applied, ChangeLog, Settle
from wizards.situation import Situation, situation
from wizards.wire import intent_json
from wizards.writers.istio import read

SETTLE_S = 5.0
PREFIX = "change-"


class RefusedError(WizardError):
    """The checks found errors; nothing was changed."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


class NothingToDoError(WizardError):
    """It is so already."""


class UnknownChangeError(WizardError):
    """There is no such entry in the log of changes."""


class ChangedSinceError(WizardError):
    """What is to be taken back has been changed by somebody else: who and when is in the message."""

    def __init__(self, key: ObjectKey, revision: Revision) -> None:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(revision.at_ms / 1000))
        super().__init__(
            f"{key} was changed by {revision.author or 'someone'} at {when} (revision {revision.number}"
            f"{', ' + revision.reason if revision.reason else ''}), so it cannot be taken back over that"
        )
        self.key = key
        self.revision = revision


class Wizards:
    """Plan, apply, undo. Every change is one transaction of the config store, all or nothing."""

    def __init__(
        self,
        store: ConfigStore,
        changelog: ChangeLog,
        settle: Settle,
        *,
        facts: Callable[[str, str], Facts | None] = lambda _namespace, _service: None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._changelog = changelog
        self._settle = settle
        self._facts = facts
        self._clock_ms = clock_ms

    def situation(self, namespace: str, service: str, gateway: str = MESH) -> Situation:
        """Say how a service's requests are shared now, and what there is to share them among."""
        return situation(self._store.current, self._facts(namespace, service), namespace, service, gateway)

    async def plan(self, intent: Split) -> Plan:
        """Think a change through and have the store try it; what it would refuse is among the findings."""
        made = planning.plan(intent, self._store.current, self._facts(intent.namespace, intent.service))
        if made.errors or not made.changes:
            return made
        try:
            await self._store.commit(made.change(author="dry run"), dry_run=True)
        except ConfigError as error:
            refused = tuple(
                Finding(level=Level.ERROR, code="MSC1009", message=str(problem), path=problem.path)
                for problem in error.problems
            )
            return replace(made, findings=refused + made.findings)
        return made

    async def apply(self, plan: Plan, *, author: str, reason: str = "") -> Applied:
        """Commit a plan, wait for the proxies, read back, write it down.

        Raises :class:`RefusedError`, :class:`NothingToDoError`, and the store's ``Conflict`` where one of the objects
        that the plan looked at has been changed since.
        """
        if plan.errors:
            raise RefusedError(plan.errors)
        if not plan.changes:
            raise NothingToDoError(f"{plan.title}: it is so already")
        self._refuse_newcomers(plan)
        change = plan.change(author=author, reason=reason)
        revision = await self._store.commit(change)
        intent = plan.intent
        wanted = {item.key: item for item in change.put}
        now = read(self._store.current, intent.namespace, intent.service, intent.gateway)
        return await self._finish(
            revision,
            title=plan.title,
            intent=intent_json(intent),
            readback_ok=self._holds(wanted) and isinstance(now, Split) and _same_shares(now, intent),
        )

    async def undo(self, applied_id: str, *, author: str, reason: str = "") -> Applied:
        """Put every object that a change touched back to exactly what it was before.

        Raises :class:`ChangedSinceError` where one of them is no longer as that change left it,
        :class:`UnknownChangeError` or the store's ``StoreError`` where there is no such change. An undo can itself be
        undone.
        """
        number, title = await self._change(applied_id)
        sides = await self._store.changes(number)
        planned_on = await self._unchanged(sides)
        change = Change(
            put=tuple(side.old for side in sides if side.old),
            delete=tuple(side.key for side in sides if not side.old),
            planned_on=planned_on,
            author=author,
            reason=reason or f"take back: {title}",
        )
        revision = await self._store.commit(change)
        return await self._finish(
            revision,
            title=f"taken back: {title}",
            intent={},
            readback_ok=self._holds({side.key: side.old for side in sides}),
            undoes=applied_id,
        )

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        """Give the log of changes, newest first."""
        return await self._changelog.recent(limit)

    async def _change(self, applied_id: str) -> tuple[int, str]:
        """Find a change's revision. The config's history knows it even where the log lost the entry to a crash."""
        applied = await self._changelog.entry(applied_id)
        if applied is not None:
            return applied.revision, applied.title
        number = applied_id.removeprefix(PREFIX)
        if number == applied_id or not (number.isascii() and number.isdecimal()) or len(number) > 15:
            raise UnknownChangeError(f"there is no change {applied_id} to take back")
        return int(number), f"revision {number}"

    def _refuse_newcomers(self, plan: Plan) -> None:
        """Look again for what came to be since the plan was made: that is in no one's ``planned_on``.

        Where a planned-on object itself was changed, the store says so better, by whom and when.
        """
        config, intent = self._store.current, plan.intent
        if all(config.changed_in.get(key, 0) == seen for key, seen in plan.planned_on.items()):
            again = planning.plan(intent, config, self._facts(intent.namespace, intent.service))
            if again.errors:
                raise RefusedError(again.errors)

    async def _unchanged(self, sides: Sequence[Before]) -> Mapping[ObjectKey, int]:
        """Make sure the objects are as the change left them; a detour that led back to the same does not matter."""
        config = self._store.current
        for side in sides:
            if not _equal(config.objects.get(side.key), side.new):
                revisions = await self._store.history(limit=1, key=side.key)
                raise ChangedSinceError(side.key, revisions[0])
        return {side.key: config.changed_in.get(side.key, 0) for side in sides}

    def _holds(self, wanted: Mapping[ObjectKey, ConfigObject | None]) -> bool:
        live = self._store.current.objects
        return all(_equal(live.get(key), item) for key, item in wanted.items())

    async def _finish(
        self, revision: Revision, *, title: str, intent: Mapping[str, object], readback_ok: bool, undoes: str = ""
    ) -> Applied:
        applied = Applied(
            id=f"{PREFIX}{revision.number}",
            revision=revision.number,
            at_ms=self._clock_ms(),
            author=revision.author,
            reason=revision.reason,
            title=title,
            intent=intent,
            settled=await self._settle(revision.number, SETTLE_S),
            readback_ok=readback_ok,
            undoes=undoes,
        )
        await self._changelog.record(applied)
        return applied


def _equal(one: ConfigObject | None, other: ConfigObject | None) -> bool:
    return (one.manifest if one else None) == (other.manifest if other else None)


def _same_shares(one: Split, other: Split) -> bool:
    return all(one.weight(subset) == other.weight(subset) for subset in {*one.weights, *other.weights})
