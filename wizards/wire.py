"""The wizards' values as plain JSON, and back where they come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mesh_runtime.api.objects import ObjectKey
from wizards.analyzers.findings import Finding
from wizards.intents import MESH, Foreign, InvalidIntentError, Reading, Split, Unsplit
from wizards.plan import Plan
from wizards.ports import Applied, Settlement
from wizards.situation import Situation


def intent_json(split: Split) -> dict[str, Any]:
    """Write an intent."""
    return {
        "namespace": split.namespace,
        "service": split.service,
        "gateway": split.gateway,
        "weights": dict(split.weights),
        "versions": dict(split.versions),
    }


def intent_of(data: Any) -> Split:
    """Read an intent; raises :class:`~wizards.intents.InvalidIntentError` whatever is wrong with it."""
    if not isinstance(data, Mapping):
        raise InvalidIntentError("intent", "is not an object")
    if unknown := sorted(
        str(name) for name in data.keys() - {"namespace", "service", "gateway", "weights", "versions"}
    ):
        raise InvalidIntentError(unknown[0], "is not a field of this intent")
    texts = {"namespace": data.get("namespace"), "service": data.get("service"), "gateway": data.get("gateway", MESH)}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise InvalidIntentError(name, "must be a name")
    for name in ("weights", "versions"):
        if not isinstance(data.get(name, {}), Mapping) or len(data.get(name, {})) > 100:
            raise InvalidIntentError(name, "must be an object with at most 100 fields")
    versions = data.get("versions", {})
    if not all(isinstance(value, str) for value in versions.values()):
        raise InvalidIntentError("versions", "must be text")
    return Split(**texts, weights=dict(data.get("weights", {})), versions=dict(versions))


def reading_json(reading: Reading) -> dict[str, Any]:
    """Write what the live config says; ``kind`` is ``split``, ``unsplit`` or ``foreign``."""
    match reading:
        case Split():
            return {"kind": "split", "weights": dict(reading.weights)}
        case Unsplit():
            return {"kind": "unsplit", "reason": reading.reason}
        case Foreign():
            return {"kind": "foreign", "reason": reading.reason, "object": str(reading.object or "")}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Write a finding in the form of ``analyze``."""
    key = finding.object
    return {
        "code": finding.code,
        "level": finding.level.value,
        "kind": key.kind if key else "",
        "namespace": key.namespace if key else "",
        "name": key.name if key else "",
        "message": finding.message,
        "path": finding.path,
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """Write a plan."""
    return {
        "title": plan.title,
        "intent": intent_json(plan.intent),
        "now": reading_json(plan.now),
        "changes": [
            {"key": list(change.key), "old": change.old_yaml, "new": change.new_yaml, "diff": change.diff}
            for change in plan.changes
        ],
        "diff": plan.diff,
        "findings": [finding_json(finding) for finding in plan.findings],
        "appliable": not plan.errors and bool(plan.changes),
        "revision": plan.revision,
        "plannedOn": [[*key, revision] for key, revision in plan.planned_on.items()],
    }


def planned_on_of(data: Any) -> dict[ObjectKey, int]:
    """Read ``plannedOn`` back; raises :class:`~wizards.intents.InvalidIntentError`."""
    if not isinstance(data, list) or not all(_is_planned(item) for item in data):
        raise InvalidIntentError("plannedOn", "must be what the plan said")
    return {ObjectKey(*item[:4]): item[4] for item in data}


def situation_json(situation: Situation) -> dict[str, Any]:
    """Write where a user starts from."""
    return {
        "namespace": situation.namespace,
        "service": situation.service,
        "gateway": situation.gateway,
        "gateways": list(situation.gateways),
        "now": reading_json(situation.now),
        "options": [
            {
                "subset": option.subset,
                "version": option.version,
                "weight": option.weight,
                "exists": option.exists,
                "facts": {**asdict(option.facts), "labels": dict(option.facts.labels)} if option.facts else None,
            }
            for option in situation.options
        ],
    }


def applied_json(applied: Applied) -> dict[str, Any]:
    """Write an entry of the log of changes."""
    return {**asdict(applied), "intent": dict(applied.intent)}


def applied_of(data: Mapping[str, Any]) -> Applied:
    """Read back what :func:`applied_json` wrote."""
    settled = data["settled"]
    settlement = Settlement(**{**settled, "waiting": tuple(settled["waiting"]), "rejected": tuple(settled["rejected"])})
    return Applied(**{**data, "settled": settlement})


def _is_planned(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 5
        and all(isinstance(part, str) for part in item[:4])
        and isinstance(item[4], int)
    )
