"""What others may collect from us: the live graph in Istio's standard metrics, and how we do ourselves."""

from __future__ import annotations

import secrets

from collectors.scrape.targets import RUN_HEADER

OWN_RUN = secrets.token_hex(8)
"""Tells this process' pages from those of any other meshscope."""
OWN = {RUN_HEADER: OWN_RUN}
"""The header that says so."""
