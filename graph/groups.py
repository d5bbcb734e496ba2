"""What belongs together, from the outside in: clusters, their namespaces, apps of which there are several nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from graph.model import UNKNOWN, Group, Node


class _Place(NamedTuple):
    id: str
    label: str
    kind: str
    parent: str | None


def groups_of(nodes: Iterable[Node]) -> dict[str, Group]:
    """Return the groups by id, in the order of their ids."""
    members: defaultdict[_Place, list[str]] = defaultdict(list)
    for node in nodes:
        for place in _places(node):
            members[place].append(node.id)
    return {
        place.id: Group(
            id=place.id, label=place.label, kind=place.kind, parent=place.parent, nodes=tuple(sorted(inside))
        )
        for place, inside in sorted(members.items(), key=lambda item: item[0].id)
        if len(inside) > 1 or place.kind != "app"
    }


def around(node: Node) -> tuple[str, ...]:
    """Name the groups that a node lies in, from the outside in, even where it is alone in its app."""
    return tuple(place.id for place in _places(node))


def group_of(cluster: str, namespace: str) -> str | None:
    """Name the group of a namespace; ``None``: it has none."""
    return None if namespace in {"", UNKNOWN} else f"ns:{cluster}/{namespace}"


def same_place(one: Node, other: Node) -> bool:
    """Tell whether two forms of a node stand in the same groups."""
    return (one.cluster, one.namespace, one.app) == (other.cluster, other.namespace, other.app)


def _places(node: Node) -> Iterator[_Place]:
    namespace = group_of(node.cluster, node.namespace)
    if namespace:
        cluster = f"cluster:{node.cluster}"
        yield _Place(cluster, node.cluster, "cluster", None)
        yield _Place(namespace, node.namespace, "namespace", cluster)
        if node.app:
            yield _Place(f"box:{node.cluster}/{node.namespace}/{node.app}", node.app, "app", namespace)
