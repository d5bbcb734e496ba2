"""ProxyConfig: how proxies are started."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from mesh_runtime.api.problems import quoted
from mesh_runtime.api.security.targets import WorkloadSelector
from mesh_runtime.api.spec import Spec, text
from mesh_runtime.api.values import CString

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOADER = "LD_"


def _variable(name: str) -> str | None:
    if not _VARIABLE.fullmatch(name):
        return f"{quoted(name)} is not the name of a variable"
    # Proxies run beside the workloads, as their agent's user: config must not choose what code that is.
    return f"{name} is for the system's loader" if name.startswith(_LOADER) else None


Concurrency = Annotated[int, Field(ge=0, le=1024)]
"""Threads that serve requests; 0: as many as the machine has processors."""
Environment = dict[
    Annotated[str, AfterValidator(text(_variable, "choose another name"))],
    Annotated[CString, Field(max_length=32768)],
]
"""Variables of a proxy's environment."""


class ProxyConfig(Spec):
    """How proxies are started: of the mesh (in the root namespace), a namespace, or workloads.

    A proxy that runs keeps what it was started with, as in Istio.
    """

    ignored: ClassVar[frozenset[str]] = frozenset({"image"})
    """There are no images here."""

    selector: WorkloadSelector | None = None
    concurrency: Concurrency | None = None
    environment_variables: Environment = Field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """Which workloads are meant; empty: all."""
        return self.selector.match_labels if self.selector else {}
