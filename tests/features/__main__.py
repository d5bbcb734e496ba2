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
ORDER = ("routing", "calling", "services", "gateways", "security", "observability", "patches", "operations")


class Feature(NamedTuple):
    area: str
    name: str
    config: str
    test: str
    """The test that shows it with real traffic: ``file::name``."""


def features() -> Iterator[Feature]:
    for path in sorted(HERE.glob("*.toml"), key=lambda path: ORDER.index(path.stem)):
        for fields in tomllib.loads(path.read_text())["feature"]:
            yield Feature(area=path.stem, **fields)


def table() -> str:
    lines = []
    for area in dict.fromkeys(feature.area for feature in features()):
        lines += [f"\n**{area.capitalize()}**\n", "| what | config |", "|---|---|"]
        lines += [f"| {one.name} | {_cell(one.config)} |" for one in features() if one.area == area]
    return "\n".join(lines).strip() + "\n"


def _cell(config: str) -> str:
    return f"`{config}`".replace("|", "\\|") if config else ""


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
