"""The traffic graph in Kiali's shape: a pure function of finest edges, inventory and Kiali's own parameters.

The rules are Kiali's (``graph/`` of github.com/kiali/kiali, read at d733a096e): identities, service injection,
appenders, rates as text, boxes, order. The numbers are ours: each request once, by the reporter that a window of
ours believes. Where the two differ on purpose, :data:`DIFFERENCES` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graph.health import DEFAULT, Tolerance
from graph.kiali.appenders import append
from graph.kiali.differences import DIFFERENCES, Difference
from graph.kiali.form import config
from graph.kiali.options import APPENDERS, Node, OptionError, Options, parse
from graph.kiali.telemetry import traffic_of
from graph.kiali.traffic import Places
from graph.model import Inventory, Snapshot

__all__ = ["APPENDERS", "DIFFERENCES", "Difference", "Node", "OptionError", "Options", "kiali_graph", "parse"]


def kiali_graph(
    finest: Snapshot,
    operations: Snapshot | None,
    inventory: Inventory,
    options: Options,
    *,
    tolerances: Sequence[Tolerance] = DEFAULT,
    places: Places = None,
) -> dict[str, Any]:
    """Make the graph that Kiali would answer with.

    ``finest`` is the snapshot of :data:`graph.model.GraphType.FINEST` over the wanted window, ``operations`` that of
    operations, for aggregate nodes. ``places`` are the (cluster, namespace) pairs that the user may see; ``None``:
    whatever the inventory knows, and all of a cluster that it does not know.
    """
    traffic = traffic_of(finest, inventory, options)
    append(traffic, operations, inventory, options, tolerances=tolerances, places=places)
    return config(traffic, options)
