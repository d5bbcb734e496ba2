"""What all answers are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Plain(BaseModel):
    """An object whose fields are all there, and no others."""

    model_config = ConfigDict(extra="forbid")


class Answer(Plain):
    """One whose fields are named in camel case, as JSON's mostly are."""

    model_config = ConfigDict(alias_generator=to_camel)


class Problem(Answer):
    """What is wrong with one field."""

    object: str
    path: str
    message: str
    fix: str


class Refusal(BaseModel):
    """Why a request was not done: a sentence that names the field and the way out, and details where there are some."""

    error: str
    problems: list[Problem] = []


class Workload(Answer):
    """One version of one application."""

    cluster: str
    namespace: str
    workload: str
    app: str
    version: str


class Service(Answer):
    """A name that callers use."""

    cluster: str
    namespace: str
    name: str
