"""Regular expressions that users write: in time that grows with the text alone, whatever they write."""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import SchemaError, SchemaValidator, core_schema

PATTERN_CHARS = 1000


def pattern_test(pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression.

    Python's own engine can take for ever over a short text, and holds all threads meanwhile; this one (Rust's, as
    pydantic brings it) takes time in proportion to the text.
    """
    if len(pattern) > PATTERN_CHARS:
        raise ValueError(f"the regular expression has more than {PATTERN_CHARS} characters")
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as trouble:
        raise ValueError(f"not a regular expression: {_reason(str(trouble))}") from trouble
    return validator.isinstance_python


def _reason(trouble: str) -> str:
    """The last line says what is wrong; the ones before draw it."""
    return trouble.strip().splitlines()[-1].removeprefix("error: ").strip()
