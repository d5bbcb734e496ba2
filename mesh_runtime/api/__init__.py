"""The config API: Istio's and Kubernetes' kinds, read, checked and written."""

from mesh_runtime.api.kinds import KINDS, Kind, find_kind
from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import Config, ConfigError, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.text import dump, load

__all__ = [
    "KINDS",
    "Config",
    "ConfigError",
    "ConfigObject",
    "Kind",
    "ObjectKey",
    "Problem",
    "dump",
    "find_kind",
    "load",
    "parse",
]
