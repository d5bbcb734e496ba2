"""What every spec is made of: a frozen pydantic model that can say what is wrong with it and what to do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

T = TypeVar("T")

Many = Annotated[tuple[T, ...], Strict(strict=False)]
"""A list of the manifest."""

Some = Annotated[tuple[T, ...], Strict(strict=False), Field(min_length=1)]
"""A list of the manifest that holds something."""

FLAWS = "flaws"
"""The type of the pydantic errors that carry :class:`Flaw` s."""


class Flaw(NamedTuple):
    """One thing wrong below a model: where, what, and the way out."""

    path: tuple[str | int, ...]
    message: str
    fix: str = ""


def refusal(*flaws: Flaw) -> PydanticCustomError:
    """Build the error that a validator raises."""
    return PydanticCustomError(FLAWS, "is not valid", {"flaws": flaws})


def refused(message: str, fix: str = "") -> PydanticCustomError:
    """Build the error for the value at hand itself."""
    return refusal(Flaw((), message, fix))


ISTIO = "Istio"
KUBERNETES = "Kubernetes"


def unsupported(owner: str, name: str = "") -> str:
    """Say that something exists, only not here."""
    genitive = f"{owner}'" if owner.endswith("s") else f"{owner}'s"
    return f"{name} is {genitive}, but this runtime does not support it yet".strip()


Refusals = Mapping[str, tuple[str, str]]
"""What the API has and what cannot be here, by its name: why, and the way out."""


def refusing(values: Refusals) -> BeforeValidator:
    """Refuse values that exist and that cannot be here, with the reason."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in values:
            raise refused(*values[value])
        return value

    return BeforeValidator(check)


def text(check: Callable[[str], str | None], fix: str = "") -> Callable[[str], str]:
    """Turn a check that answers with its complaint into a validator."""

    def validate(value: str) -> str:
        complaint = check(value)
        if complaint:
            raise refused(complaint, fix)
        return value

    return validate


class Spec(BaseModel):
    """A part of a manifest. Attributes are snake_case, the manifest's fields camelCase.

    What the manifest says is in ``model_fields_set``; everything else has Istio's default.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)

    owner: ClassVar[str] = ISTIO
    """Whose API this is."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that the API has here and this runtime does not support yet."""
    never: ClassVar[Refusals] = MappingProxyType({})
    """Fields that the API has here and that cannot be."""
    ignored: ClassVar[frozenset[str]] = frozenset()
    """Fields that a cluster fills in and this runtime has no use for; left out of the canonical form."""

    spellings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Further names of fields that the API takes, and the canonical ones."""

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, data: Any) -> Any:
        """Drop what is written as null: as in Kubernetes it is not there."""
        if not isinstance(data, dict):
            return data
        given = {name: value for name, value in data.items() if value is not None and name not in cls.ignored}
        for name, canonical in cls.spellings.items():
            if name in given and canonical not in given:
                given[canonical] = given.pop(name)
        return given

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        found = tuple(self.flaws())
        if found:
            raise refusal(*found)
        return self

    def flaws(self) -> Iterator[Flaw]:
        """What is wrong with the fields taken together."""
        yield from ()

    def has(self, *names: str) -> tuple[str, ...]:
        """Which of these fields the manifest sets."""
        return tuple(name for name in names if name in self.model_fields_set)

    def one_of(self, *names: str, needed: bool = True) -> Iterator[Flaw]:
        """Complain unless exactly one of these fields is set (at most one where none is needed)."""
        fields = [to_camel(name) for name in names]
        given = [to_camel(name) for name in self.has(*names)]
        choice = f"{', '.join(fields[:-1])} or {fields[-1]}"
        if len(given) > 1:
            yield Flaw((), f"{' and '.join(given)} exclude each other", f"keep one of {choice}")
        elif needed and not given:
            yield Flaw((), f"one of {choice} is needed", f"add {choice}")


def repeated(values: Iterable[Hashable]) -> Iterator[tuple[int, Hashable]]:
    """Positions and values that were there before."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index, value
        seen.add(value)
