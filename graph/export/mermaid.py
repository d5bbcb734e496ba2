"""Mermaid's flowcharts, as Markdown shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graph.export.words import COLOURS, FOUND, box_title, by_namespace, caption
from graph.model import Health, Snapshot
from graph.query import Found


def mermaid(snapshot: Snapshot, found: Found) -> str:
    """A Mermaid flowchart, namespaces as subgraphs."""
    names = {id_: f"n{number}" for number, id_ in enumerate(snapshot.nodes)}
    lines = ["flowchart LR"]
    for number, (place, nodes) in enumerate(by_namespace(snapshot).items()):
        lines.append(f"  subgraph s{number}[{_entities(box_title(*place, snapshot))}]")
        lines += [f"    {names[node.id]}[{_entities(node.title)}]" for node in nodes]
        lines.append("  end")
    for edge in snapshot.edges.values():
        arrow = "-->" if edge.health is not Health.IDLE else "-.->"
        lines.append(f"  {names[edge.source]} {arrow}|{_entities(caption(edge))}| {names[edge.target]}")
    return "\n".join([*lines, *_styles(snapshot, found, names), ""])


def _styles(snapshot: Snapshot, found: Found, names: Mapping[str, str]) -> Iterator[str]:
    for health, colour in COLOURS.items():
        marked = [names[node.id] for node in snapshot.nodes.values() if node.health is health]
        if marked:
            yield f"  classDef {health} stroke:{colour},stroke-width:2px"
            yield f"  class {','.join(marked)} {health}"
    if found.nodes:
        yield f"  classDef found fill:{FOUND}"
        yield f"  class {','.join(sorted(names[id_] for id_ in found.nodes))} found"
    thick = [str(number) for number, id_ in enumerate(snapshot.edges) if id_ in found.edges]
    if thick:
        yield f"  linkStyle {','.join(thick)} stroke:{FOUND},stroke-width:4px"


def _entities(text: str) -> str:
    """Write a Mermaid text; marks that mean something to Mermaid become character references."""
    return '"' + "".join(one if one.isalnum() or one in " .,-/%:" else f"#{ord(one)};" for one in text) + '"'
