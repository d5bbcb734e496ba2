"""What the flags on an answer mean: Envoy's words for why a request did not go through, as people say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from graph.model import Outcome

FLAGS: Mapping[str, str] = {
    "DC": "The caller hung up before the answer was complete.",
    "DI": "A fault rule delayed it on purpose.",
    "DPE": "The caller's request was not valid HTTP.",
    "DT": "The connection or request reached the longest time it may take.",
    "FI": "A fault rule answered with an error on purpose.",
    "IH": "A header that must have a certain form had another.",
    "LH": "The callee fails its health checks.",
    "LR": "The caller's proxy reset the connection.",
    "NC": "Its route leads to a cluster that is not there: the host is unknown to the mesh, or config names what is gone.",
    "NFCF": "Its route's config did not arrive in time.",
    "NR": "No route fits the request, or its connection fits nothing that listens.",
    "OM": "The proxy was short of memory and shed the request.",
    "RL": "Rate limited: there were more requests than a limit allows (status 429).",
    "RLSE": "The rate limit service failed.",
    "SI": "The stream was idle for too long.",
    "UAEX": "The external authorization server refused it.",
    "UC": "The callee closed the connection before it had answered.",
    "UF": "No connection to the callee could be made, or mutual TLS failed.",
    "UH": "No healthy endpoint is left: none runs, or outlier detection has ejected them.",
    "UMSDR": "The caller's longest stream time was reached.",
    "UO": "Circuit breaking: the callee's connection pool was full.",
    "UPE": "The callee's answer was not valid HTTP.",
    "UR": "The callee reset the request.",
    "URX": "All retries, or all attempts to connect, were used up.",
    "UT": "The callee took longer than the timeout of its route.",
}
"""By flag: what happened, for somebody who has never read Envoy's manual."""

FORBIDDEN = "403"
FORBIDDEN_TEXT = (
    "Refused. Without a flag it was an AuthorizationPolicy at the callee, or the application itself: "
    "the callee's access log says rbac_access_denied where it was a policy."
)
UNAUTHENTICATED = "401"
UNAUTHENTICATED_TEXT = (
    "Not authenticated: a RequestAuthentication did not take the token, or the application wants one."
)


def explained(outcomes: Iterable[Outcome]) -> tuple[tuple[str, str], ...]:
    """Return each flag or refusal among these outcomes with its meaning, once; unknown flags are left out."""
    return tuple(dict(pair for outcome in outcomes for pair in _of(outcome)).items())


def _of(outcome: Outcome) -> Iterator[tuple[str, str]]:
    flags = [flag for flag in outcome.flags.split(",") if flag.strip("-")]
    yield from ((flag, FLAGS[flag]) for flag in flags if flag in FLAGS)
    if not flags and outcome.code == FORBIDDEN:
        yield FORBIDDEN, FORBIDDEN_TEXT
    if not flags and outcome.code == UNAUTHENTICATED:
        yield UNAUTHENTICATED, UNAUTHENTICATED_TEXT
