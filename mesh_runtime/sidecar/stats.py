"""Which of Envoy's statistics are kept at all: with hundreds of clusters, all of them are megabytes a page."""

from __future__ import annotations

from typing import Any, Final

BUCKETS_MS: Final = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)
"""Istio's buckets as far as people wait."""
BUCKETS_BYTES: Final = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
"""Of sizes, each ten times the one before."""

_PREFIXES: Final = ("istio", "tcp.", "cluster_manager.", "listener_manager.", "server.", "control_plane.", "sds.")
_PARTS: Final = (
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_rq_active",
    "upstream_rq_retry",
    "upstream_rq_pending_overflow",
    "membership_healthy",
    "membership_total",
    "ejections_active",
    "ssl.fail_verify",
    "update_rejected",
    "rbac.",
    "jwt_authn.",
    ".route.",  # what a VirtualService asks to count, by its statPrefix
)


def stats_config() -> dict[str, Any]:
    """Return a bootstrap's ``stats_config``: only what is read, in small buckets."""
    patterns = [{"prefix": prefix} for prefix in _PREFIXES] + [{"contains": part} for part in _PARTS]
    return {
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
        "histogram_bucket_settings": [
            {"match": {"contains": "_bytes"}, "buckets": list(BUCKETS_BYTES)},
            {"match": {"prefix": "istio"}, "buckets": list(BUCKETS_MS)},
        ],
    }
