"""The README's table of features, from the lists beside this file: ``python -m tests.features`` writes it anew."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- features -->\n", "<!-- /features -->\n"
AREAS = {
    "routing": "where requests and connections go",
    "calling": "how services are called: balancing, limits, retries, TLS",
    "services": "what can be called, inside and outside of the mesh, in which protocols",
    "gateways": "ways in and out, with TLS of every kind",
    "security": "who may call what, proven by certificate or token",
    "observability": "metrics, access logs and traces",
    "traces": "spans as OpenTelemetry sends them",
    "trace-stores": "where traces are kept, and who may read them there",
    "signals": "logs, applications' metrics, spans of other formats, requests as they happen",
    "graph": "who calls whom, as data and as Kiali draws it",
    "graph-page": "looking at the graph: its parts, its moments, files of it",
    "analysis": "what the graph answers when asked, and the forms that it leaves in",
    "inventory": "what exists, how it is judged, and what several clusters are together",
    "kubernetes": "clusters that are shown beside the bundled mesh",
    "federation": "pages that are scraped, samples that are pushed, and what a Prometheus collects from here",
    "dialects": "the meshes whose telemetry is understood",
    "time": "the graph of the past, and what is different since",
    "patches": "whatever Envoy can do beyond that",
    "doctor": "what is missing, and what to do",
    "operations": "running it",
}


class Feature(NamedTuple):
    area: str
    name: str
    config: str
    test: str
    """The test that shows it: ``file::name``."""


def features() -> Iterator[Feature]:
    for path in sorted(HERE.glob("*.toml"), key=lambda path: list(AREAS).index(path.stem)):
        for fields in tomllib.loads(path.read_text())["feature"]:
            yield Feature(area=path.stem, **fields)


def table() -> str:
    lines = []
    for area, about in AREAS.items():
        rows = [f"| {one.name} | {_cell(one.config)} |" for one in features() if one.area == area]
        title = area.replace("-", " ").capitalize()
        lines += ["<details>", f"<summary><b>{title}</b>: {about} ({len(rows)})</summary>", ""]
        lines += ["| what | config |", "|---|---|", *rows, "", "</details>"]
    return "\n".join(lines) + "\n"


def _cell(config: str) -> str:
    return f"`{config}`".replace("|", "\\|") if config else ""


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
