"""Secret: certificates and keys, or whatever else is nobody's business."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field, model_validator

from mesh_runtime.api.certificates import (
    certificates_complaint,
    decoded,
    key_complaint,
    pair_complaint,
    revoked_complaint,
    served_names,
    trusted_names,
)
from mesh_runtime.api.redaction import is_redacted
from mesh_runtime.api.spec import KUBERNETES, Flaw, Spec


class Secret(Spec):
    """Certificates and keys, by name: what ``credentialName`` means.

    A value may be what :func:`~mesh_runtime.api.redaction.redaction` made of the stored one: it means that one.
    """

    owner: ClassVar[str] = KUBERNETES
    ignored: ClassVar[frozenset[str]] = frozenset({"immutable"})

    type: str = "Opaque"
    data: dict[str, str] = Field(default_factory=dict, repr=False)
    """Base64."""
    string_data: dict[str, str] = Field(default_factory=dict, repr=False)
    """Plain text, which becomes part of ``data``, as in Kubernetes."""

    @model_validator(mode="before")
    @classmethod
    def _join(cls, written: Any) -> Any:
        if not isinstance(written, dict):
            return written
        data, plain = written.get("data") or {}, written.get("stringData") or {}
        if not all(isinstance(part, dict) and all(isinstance(v, str) for v in part.values()) for part in (data, plain)):
            return written
        joined = {name: "".join(value.split()) if not is_redacted(value) else value for name, value in data.items()}
        joined |= {name: value if is_redacted(value) else _base64(value) for name, value in plain.items()}
        rest = {name: value for name, value in written.items() if name not in {"data", "stringData"}}
        return rest | ({"data": joined} if joined or "data" in written else {})

    def flaws(self) -> Iterator[Flaw]:
        """Values are Base64."""
        for name, value in self.data.items():
            if not is_redacted(value) and decoded(value) is None:
                yield Flaw(("data", name), "is not Base64", "encode it, or write it as stringData")

    def content(self, name: str) -> bytes:
        """Return a value's bytes; empty where there is none, or only what stands for it."""
        value = self.data.get(name, "")
        return b"" if is_redacted(value) else decoded(value) or b""

    @cached_property
    def unsound(self) -> tuple[Flaw, ...]:
        """Why no proxy could use it: what is missing, what is not PEM, a key that is another certificate's."""
        return tuple(self._unsound())

    def _unsound(self) -> Iterator[Flaw]:
        for name in ("tls.crt", "tls.key") if self.type == "kubernetes.io/tls" else ():
            if name not in self.data:
                yield Flaw(
                    ("data",), f"has no {name}, which type kubernetes.io/tls needs", "add it, or use type Opaque"
                )
        served, trusted = served_names(self.data), trusted_names(self.data)
        checks = []
        if served:
            checks += [(served.certificate, certificates_complaint), (served.key, key_complaint)]
        if trusted:
            checks += [(trusted.authority, certificates_complaint), (trusted.revoked, revoked_complaint)]
        complaints = {
            name: complaint for name, check in checks if self.content(name) and (complaint := check(self.content(name)))
        }
        if served and not complaints.keys() & {served.certificate, served.key}:
            chain, key = self.content(served.certificate), self.content(served.key)
            complaint = pair_complaint(chain, key) if chain and key else None
            complaints |= {served.key: complaint} if complaint else {}
        for name, complaint in complaints.items():
            yield Flaw(
                ("data", name), complaint, "write it in PEM form, encoded as Base64, each key with its certificate"
            )


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
