"""Where our graph in Kiali's shape differs from Kiali's own, on purpose."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One deliberate difference and its reason."""

    what: str
    reason: str


DIFFERENCES = (
    Difference(
        "the numbers of an edge are those of one reporter, the caller before the callee",
        "Kiali adds up what either of them reported under a code, flags and host that the other did not have, so that "
        "a request that ended differently for both counts twice",
    ),
    Difference(
        "calls into a namespace that only the caller reports are shown",
        "Kiali asks for them in ambient namespaces only, so that callees without a proxy lose their callers",
    ),
    Difference(
        "edges of several namespaces are added up before they become a graph",
        "Kiali merges finished graphs of single namespaces, and drops what both have of an edge, though each may have "
        "a part of it",
    ),
    Difference(
        "of ambient traffic within memory's reach there are the requests, or the connections where nobody counts requests",
        "ztunnel's connections carry the requests that a waypoint counts; windows out of a Prometheus have both",
    ),
    Difference(
        "flags of TCP edges are always '-'",
        "connections that reached nobody are counted as failed requests, bytes have no end that a flag could tell",
    ),
    Difference(
        "the way back from a waypoint ('fromEdge') names the waypoint as its source",
        "Kiali names the target twice, which no edge has",
    ),
    Difference(
        "response times of an edge that stands for several are the quantile of all their requests",
        "Kiali shows the first that Prometheus happens to answer with",
    ),
    Difference(
        "throughput and response times are those of the reporter whose requests are shown",
        "Kiali takes request bytes from the caller and answers' from the callee, which need not have seen the same requests",
    ),
    Difference(
        "windows are between 10 s and 30 d long; others are answered 400",
        "Kiali takes any, and draws nothing where Prometheus has fewer than two samples in it",
    ),
    Difference(
        "an instant at which nobody watched is answered 404, with how far the history reaches",
        "Kiali draws an empty graph, as if there had been no traffic",
    ),
)
