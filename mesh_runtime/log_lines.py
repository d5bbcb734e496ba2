"""Log lines for whoever reads a terminal or a file: what happened, and what it is about."""

from __future__ import annotations

import logging
from typing import Final

_OWN: Final = frozenset({*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"})


class Lines(logging.Formatter):
    """Writes what is in a record's ``extra`` behind its message, as ``name=value``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line, without what an exception adds."""
        about = ", ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _OWN)
        line = super().formatMessage(record)
        return f"{line} ({about})" if about else line


def log_to_stderr(level: int | str, form: str = "%(message)s") -> None:
    """Have this process write lines of a level, or a worse one, in a form of ``logging``'s; for its start."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(form))
    logging.basicConfig(level=level, handlers=[handler])
