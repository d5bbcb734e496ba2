"""Specs of ``security.istio.io``."""

from mesh_runtime.api.security.authorization import AuthorizationPolicy, Condition, Operation, Rule, Source
from mesh_runtime.api.security.peer import MutualTLS, PeerAuthentication
from mesh_runtime.api.security.request import JWTRule, RequestAuthentication
from mesh_runtime.api.security.targets import GATEWAY_NAME, PolicyTargetReference, Targeted, WorkloadSelector

__all__ = [
    "GATEWAY_NAME",
    "AuthorizationPolicy",
    "Condition",
    "JWTRule",
    "MutualTLS",
    "Operation",
    "PeerAuthentication",
    "PolicyTargetReference",
    "RequestAuthentication",
    "Rule",
    "Source",
    "Targeted",
    "WorkloadSelector",
]
