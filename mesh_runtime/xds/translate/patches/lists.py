"""How a patch changes a list: where its value goes, and what it takes the place of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mesh_runtime.api.networking.envoy_filter import ConfigPatch
from mesh_runtime.xds import protos

MERGES: Final = frozenset({"MERGE", "MERGE_AND_REPLACE_LIST"})


def arranged(
    items: Sequence[Any], patch: ConfigPatch, matches: Callable[[Any], bool], *, pointed: bool
) -> Sequence[Any]:
    """Return a list after one patch has added, replaced or removed an item.

    *pointed*: the patch says which item it is about. Without that, an insertion goes to the list's end
    or beginning, and nothing is replaced or removed.
    """
    operation = patch.patch.operation
    if operation == "ADD" or (operation == "INSERT_AFTER" and not pointed):
        return [*items, patch.value]
    if operation == "INSERT_FIRST" or (operation == "INSERT_BEFORE" and not pointed):
        return [patch.value, *items]
    if operation in MERGES or not pointed:
        return items
    if operation == "REMOVE":
        return [item for item in items if not matches(item)]
    at = next((index for index, item in enumerate(items) if matches(item)), None)
    if at is None:
        return items
    before, after = {"INSERT_BEFORE": (at, at), "INSERT_AFTER": (at + 1, at + 1), "REPLACE": (at, at + 1)}[operation]
    return [*items[:before], patch.value, *items[after:]]


def named(name: str, item: Any) -> bool:
    """Tell whether this is an item's name."""
    return bool(item.name == name)


def put(owner: Any, field: str, items: Sequence[Any]) -> None:
    """Make *items* the content of a message's list."""
    copied = [type(item).FromString(item.SerializeToString()) for item in items]
    owner.ClearField(field)
    getattr(owner, field).extend(copied)


def merge(into: Any, patch: ConfigPatch) -> None:
    """Merge a patch's value into a message."""
    protos.merge(into, patch.value, replace_lists=patch.patch.operation == "MERGE_AND_REPLACE_LIST")


def merge_filter(into: Any, patch: ConfigPatch) -> None:
    """Merge a patch's value into a filter: its name replaces, its config is merged inside if it is of the same type."""
    added = patch.value
    into.name = added.name or into.name
    merge_held(into.typed_config, added.typed_config)


def merge_held(into: Any, added: Any) -> None:
    """Merge what an ``Any`` holds into what another holds of the same type; of another type it is left alone."""
    if into.type_url != added.type_url:
        return
    held, more = protos.content(into), protos.content(added)
    if held is not None and more is not None:
        protos.merge(held, more)
        into.value = held.SerializeToString(deterministic=True)
