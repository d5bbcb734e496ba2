"""Config objects: read, apply, compare, delete; their history and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from console.context import Console
from console.leased import leased_objects
from console.web.answers import config as answers
from console.web.api.common import MANY, Body, Here, also, key_json, revision_json, router, settled_json
from console.web.errors import Invalid, Json, NotFound
from mesh_runtime import api as config_api
from mesh_runtime.api.mesh_config import without_effect
from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey
from mesh_runtime.api.redaction import shown
from mesh_runtime.store.diff import unified
from mesh_runtime.store.port import Change, Revision

CLUSTER_SCOPE = "_"
"""Stands for the namespace of objects that have none, in paths."""

api = router("config")

Name = Annotated[str, Path(max_length=253)]
Number = Annotated[int, Path(ge=0, le=MANY)]
Who = Annotated[str, Field(max_length=200)]
Why = Annotated[str, Field(max_length=2000)]


class Objects(Body):
    """Manifests, as YAML text or as JSON."""

    yaml: str = ""
    manifests: list[dict[str, Any]] = Field(default=[], max_length=5000)
    namespace: str = Field(default="default", max_length=63)
    """Of objects that do not name theirs."""

    def parsed(self) -> tuple[ConfigObject, ...]:
        """Parse and judge each object; one that is wrong refuses them all."""
        objects = [config_api.parse(manifest, default_namespace=self.namespace) for manifest in self.manifests]
        if self.yaml:
            objects += config_api.load(self.yaml, default_namespace=self.namespace)
        if not objects:
            raise Invalid("there are no objects in the request; give `yaml` or `manifests`")
        return tuple(objects)


class Write(Objects):
    """Objects to write or delete."""

    dry_run: bool = Field(default=False, alias="dryRun")
    author: Who = ""
    reason: Why = ""
    planned_on: int | None = Field(default=None, ge=0, le=MANY, alias="plannedOn")
    """The revision that the writer looked at: objects changed since are a conflict. Absent: written regardless."""
    settle: bool = True
    """Wait (a few seconds at most) until the proxies have it."""


class Rollback(Body):
    """Which revision to return to."""

    revision: int = Field(ge=0, le=MANY)
    author: Who = ""
    reason: Why = ""


@api.get("/config", response_model=answers.Objects, responses=also("application/yaml"))
async def list_objects(
    here: Here,
    kind: Annotated[str, Query(max_length=100)] = "",
    namespace: Annotated[str, Query(max_length=63)] = "",
    name: Annotated[str, Query(max_length=253)] = "",
    format: Literal["json", "yaml"] = "json",  # noqa: A002
) -> Response:
    """List manifests in canonical form, those leased by agents included, with the revision they are of."""
    config = here.store.current
    found = [o for o in _everything(here, config) if _matches(o.key, _kind(kind), namespace, name)]
    if name and not found:
        raise NotFound(
            f"{_kind(kind) or 'object'} {name!r} not found" + (f" in namespace {namespace}" if namespace else "")
        )
    if format == "yaml":
        return Response(config_api.dump(found), media_type="application/yaml")
    return Json({"revision": config.revision, "items": [shown(o) for o in found]})


@api.get("/config/{kind}/{namespace}/{name}", response_model=answers.Object)
async def get_object(here: Here, kind: Name, namespace: Name, name: Name) -> Response:
    """Return one manifest, the revision that last changed it, and its YAML."""
    config = here.store.current
    wanted = _kind(kind)
    for candidate in _everything(here, config):
        if _matches(candidate.key, wanted, _namespace(namespace), name, exact=True):
            changed = config.changed_in.get(candidate.key, 0)
            return Json({"revision": changed, "manifest": shown(candidate), "yaml": config_api.dump([candidate])})
    raise NotFound(f"{wanted} {name!r} not found in namespace {namespace}")


@api.post("/config", response_model=answers.Written)
async def apply(here: Here, write: Write) -> Response:
    """Write objects as one revision; wrong ones are refused as a whole and what was there stays."""
    objects = write.parsed()
    before = here.store.current
    keys = [o.key for o in objects]
    change = Change(
        put=objects, planned_on=_planned_on(before, keys, write.planned_on), author=write.author, reason=write.reason
    )
    revision = await here.store.commit(change, dry_run=write.dry_run)
    actions = [(o.key, _action(before.objects.get(o.key), o)) for o in objects]
    answer = await _written(here, revision, actions, dry_run=write.dry_run, settle=write.settle)
    return Json(answer | {"notes": [note for o in objects for note in without_effect(o)]})


@api.post("/config/delete", response_model=answers.Written)
async def delete(here: Here, write: Write) -> Response:
    """Delete the objects named by these manifests as one revision."""
    return await _delete(here, [o.key for o in write.parsed()], write)


@api.delete("/config/{kind}/{namespace}/{name}", response_model=answers.Written)
async def delete_object(
    here: Here, kind: Name, namespace: Name, name: Name, author: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Delete one object."""
    wanted = _kind(kind)
    found = [k for k in here.store.current.objects if _matches(k, wanted, _namespace(namespace), name, exact=True)]
    if not found:
        raise NotFound(f"{wanted} {name!r} not found in namespace {namespace}")
    return await _delete(here, found, Write(author=author))


@api.post("/config/diff", response_model=answers.Differences)
async def diff(here: Here, objects: Objects) -> Response:
    """Compare objects with what is live; nothing is written."""
    live = here.store.current.objects
    parts = [(o.key, unified(live.get(o.key), o)) for o in objects.parsed()]
    return Json({"diff": [{"object": key_json(key), "unified": text} for key, text in parts if text]})


@api.get("/history", response_model=answers.History)
async def history(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Annotated[str, Query(max_length=100)] = "",
    namespace: Annotated[str, Query(max_length=63)] = "",
    name: Annotated[str, Query(max_length=253)] = "",
) -> Response:
    """List revisions, newest first; with a kind and a name, those that changed this object."""
    key = None
    if name:
        known = config_api.KINDS.get(_kind(kind))
        if known is None:
            raise Invalid("a name needs its kind")
        key = ObjectKey(known.group, known.kind, namespace if known.namespaced else "", name)
    return Json({"items": [revision_json(r) for r in await here.store.history(limit=limit, key=key)]})


@api.get("/history/{number}", response_model=answers.Changes)
async def revision(here: Here, number: Number) -> Response:
    """Show what one revision changed, both sides of each object."""
    changes = await here.store.changes(number)
    found = [r for r in await here.store.history(limit=1000) if r.number == number]
    parts = [
        {"object": key_json(c.key), "old": _yaml(c.old), "new": _yaml(c.new), "unified": unified(c.old, c.new)}
        for c in changes
    ]
    return Json((revision_json(found[0]) if found else {"revision": number}) | {"changes": parts})


@api.post("/rollback", response_model=answers.Written)
async def rollback(here: Here, wish: Rollback) -> Response:
    """Write a new revision equal to an old one."""
    before = here.store.current
    written = await here.store.rollback(wish.revision, author=wish.author, reason=wish.reason)
    after = here.store.current
    actions = [(key, _change(before.objects.get(key), after.objects.get(key))) for key in written.changed]
    return Json(await _written(here, written, actions, dry_run=False, settle=True))


async def _delete(here: Console, keys: Sequence[ObjectKey], write: Write) -> Response:
    before = here.store.current
    missing = [key for key in keys if key not in before.objects]
    if missing:
        raise NotFound("; ".join(f"{key} not found" for key in missing))
    change = Change(
        delete=tuple(keys),
        planned_on=_planned_on(before, keys, write.planned_on),
        author=write.author,
        reason=write.reason,
    )
    written = await here.store.commit(change, dry_run=write.dry_run)
    actions = [(key, "deleted") for key in keys]
    return Json(await _written(here, written, actions, dry_run=write.dry_run, settle=write.settle))


async def _written(
    here: Console, revision: Revision, actions: Sequence[tuple[ObjectKey, str]], *, dry_run: bool, settle: bool
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "revision": revision.number,
        "dryRun": dry_run,
        "changed": [key_json(key) | {"action": action} for key, action in actions],
        "settled": None,
        "notes": [],
    }
    if settle and not dry_run:
        timeout_s = here.settings.mesh.settle_timeout_s
        answer["settled"] = settled_json(await here.control.settled(revision.number, timeout_s))
    return answer


def _planned_on(config: Config, keys: Sequence[ObjectKey], planned: int | None) -> Mapping[ObjectKey, int]:
    """Per object: what the planner saw last, which is not later than the revision it planned on."""
    if planned is None:
        return {}
    return {key: min(config.changed_in.get(key, 0), planned) for key in keys}


def _action(old: ConfigObject | None, new: ConfigObject) -> str:
    if old is None:
        return "created"
    return "unchanged" if shown(old) == shown(new) else "configured"


def _change(old: ConfigObject | None, new: ConfigObject | None) -> str:
    return "deleted" if new is None else _action(old, new)


def _everything(here: Console, config: Config) -> list[ConfigObject]:
    objects = dict(config.objects) | {o.key: o for o in leased_objects(here.registry.current)}
    return [objects[key] for key in sorted(objects)]


def _matches(key: ObjectKey, kind: str, namespace: str, name: str, *, exact: bool = False) -> bool:
    return (
        (not kind or key.kind == kind)
        and (key.namespace == namespace if exact else not namespace or key.namespace == namespace)
        and (not name or key.name == name)
    )


def _kind(text: str) -> str:
    if not text:
        return ""
    found = config_api.find_kind(text)
    if found is None:
        raise Invalid(f"there is no kind {text!r}; there are {', '.join(sorted(config_api.KINDS))}")
    return found.kind


def _namespace(text: str) -> str:
    return "" if text == CLUSTER_SCOPE else text


def _yaml(one: ConfigObject | None) -> str:
    return "" if one is None else config_api.dump([one])
