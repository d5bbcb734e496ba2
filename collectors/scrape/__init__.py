"""Metrics from the pages that processes publish: of our own proxies, and of any that are listed or discovered."""

from collectors.scrape.admin import AdminScrape, ProxyScrape, admin_page
from collectors.scrape.config import HttpSd, ScrapeConfig, TargetGroup
from collectors.scrape.source import ScrapeSource, ScrapeState, TargetState
from collectors.scrape.targets import Discovery, Target

__all__ = [
    "AdminScrape",
    "Discovery",
    "HttpSd",
    "ProxyScrape",
    "ScrapeConfig",
    "ScrapeSource",
    "ScrapeState",
    "Target",
    "TargetGroup",
    "TargetState",
    "admin_page",
]
