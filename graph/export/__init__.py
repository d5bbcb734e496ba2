"""A snapshot in the formats that other tools read. What a user found is marked in pictures of it."""

from collections.abc import Callable, Mapping

from graph.export.dot import dot
from graph.export.graphml import graphml
from graph.export.mermaid import mermaid
from graph.export.svg import svg
from graph.export.tables import csv
from graph.model import Snapshot
from graph.query import Found

FORMATS: Mapping[str, Callable[[Snapshot, Found], str]] = {
    "csv": csv,
    "dot": dot,
    "graphml": graphml,
    "mermaid": mermaid,
    "svg": svg,
}
"""Every format by its name."""

__all__ = ["FORMATS", "csv", "dot", "graphml", "mermaid", "svg"]
