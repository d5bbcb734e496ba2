"""From pydantic's errors to problems a user can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mesh_runtime.api.objects import Problem
from mesh_runtime.api.spec import FLAWS, Flaw, Spec, unsupported

MAX_PROBLEMS = 100
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}
_NAMES: Sequence[tuple[type, str]] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (dict, "a mapping"),
    (list, "a list"),
)


def problems(name: str, model: type[Spec], error: ValidationError, prefix: tuple[str, ...]) -> Iterator[Problem]:
    """Name every problem of a spec below the path *prefix* of the object *name*."""
    details = error.errors(include_url=False)
    for detail in details[:MAX_PROBLEMS]:
        for flaw in _flaws(model, detail)[:MAX_PROBLEMS]:
            yield Problem(name, path((*prefix, *detail["loc"], *flaw.path)), flaw.message, flaw.fix)
    if len(details) > MAX_PROBLEMS:
        yield Problem(name, path(prefix), f"has {len(details) - MAX_PROBLEMS} more problems", "correct these first")


def path(steps: Sequence[str | int]) -> str:
    """``("http", 0, "route")`` as ``http[0].route``; keys that are not plain words stand in brackets."""
    out = ""
    for step in steps:
        if isinstance(step, int):
            out += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum():
            out += f".{step[:80]}" if out else step[:80]
        elif step != "[key]":
            out += f"[{quoted(step)}]"
    return out


def nearest(name: str, known: Sequence[str]) -> str:
    """Suggest the known name that was probably meant; else list what there is."""
    word = name[:80].replace("_", "").replace("-", "").lower()
    folded = {item.lower(): item for item in known}
    close = [folded[item] for item in get_close_matches(word, folded, n=1, cutoff=0.6)]
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(sorted(known)[:40])}" if known else "remove it"


def quoted(value: str) -> str:
    """Quote a value for a message, cut where it is long."""
    return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}…"'


def describe(value: Any) -> str:
    """Say what a value is, in a few words."""
    if value is None:
        return "nothing"
    kind = next((words for base, words in _NAMES if isinstance(value, base)), type(value).__name__)
    if isinstance(value, dict | list):
        return kind
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{kind} ({shown})" if len(shown) <= 60 else kind


def _flaws(model: type[Spec], detail: ErrorDetails) -> tuple[Flaw, ...]:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == FLAWS:
        flaws: tuple[Flaw, ...] = context["flaws"]
        return flaws
    if kind == "extra_forbidden":
        return (_unknown(_model_at(model, detail["loc"][:-1]), str(detail["loc"][-1])),)
    if kind == "missing":
        return (Flaw((), "is required", "add it"),)
    if kind in _WANTED:
        fix = "put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return (Flaw((), f"must be {_WANTED[kind]}, not {describe(value)}", fix),)
    if kind == "literal_error":
        expected = [str(item).strip("'") for item in _literals(context)]
        return (Flaw((), f"must be one of {', '.join(filter(None, expected))}, not {describe(value)}"),)
    return (Flaw((), _bound(kind, context) or detail["msg"][:1].lower() + detail["msg"][1:]),)


def _literals(context: Mapping[str, Any]) -> list[str]:
    return str(context["expected"]).replace(" or ", ", ").split(", ")


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "finite_number":
            return "must be a finite number"
        case _:
            return ""


def _unknown(model: type[Spec], name: str) -> Flaw:
    if name in model.never:
        return Flaw((), *model.never[name])
    if name in model.later:
        return Flaw((), unsupported(model.owner), "remove it")
    known = [info.alias or field for field, info in model.model_fields.items()]
    return Flaw((), "is not a field here", nearest(name, known))


def _model_at(model: type[Spec], loc: Sequence[str | int]) -> type[Spec]:
    """Follow a location through the models' annotations."""
    here: Any = model
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {info.alias or name: info for name, info in here.model_fields.items()}
            here = _inside(fields[str(step)].annotation)
        else:
            here = _inside(get_args(here)[1] if get_origin(here) is dict else get_args(here)[0])
    assert isinstance(here, type)
    assert issubclass(here, Spec)
    return here


def _inside(annotation: Any) -> Any:
    """Without ``Annotated`` and ``| None``."""
    while get_origin(annotation) not in (None, tuple, dict):
        annotation = get_args(annotation)[0]
    return annotation
