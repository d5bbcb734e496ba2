"""What decides which endpoints are preferred to others: a rule, else the service itself, else the mesh's config."""

from __future__ import annotations

from typing import NamedTuple

from mesh_runtime.api.networking import LocalityLbSetting, ZoneAwareLbSetting
from mesh_runtime.xds.translate.calling.rules import Policy
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.world import World


class Nearness(NamedTuple):
    """How near endpoints are preferred to others."""

    setting: LocalityLbSetting | ZoneAwareLbSetting
    is_ordered: bool
    """Whether the nearest come first and others take over. Where nobody knows who is ill, nobody would ever."""

    @property
    def is_relative(self) -> bool:
        """Whether it matters where the caller is."""
        return self.is_ordered or self.is_distributed

    @property
    def is_distributed(self) -> bool:
        """Whether the rule names the places' shares."""
        return isinstance(self.setting, LocalityLbSetting) and bool(self.setting.distribute)

    @property
    def is_weighted(self) -> bool:
        """Whether places have shares of their own, whatever the number of their endpoints."""
        if isinstance(self.setting, ZoneAwareLbSetting) or self.is_distributed:
            return True
        return self.is_ordered and bool(self.setting.failover or self.setting.failover_priority)


def nearness(world: World, policy: Policy, service: MeshService) -> Nearness | None:
    """Return how near endpoints of a service are preferred, in Istio's order; ``None``: not at all."""
    balancer, mesh = policy.load_balancer, world.mesh_config
    zones = balancer.zone_aware_lb_setting if balancer else None
    localities = balancer.locality_lb_setting if balancer else None
    if zones is None and localities is None and service.prefers:
        return Nearness(LocalityLbSetting.model_construct(failover_priority=service.prefers), is_ordered=True)
    if localities is None and (zones := zones or mesh.zone_aware_lb_setting):
        return Nearness(zones, is_ordered=True) if zones.enabled else None
    setting = localities or mesh.locality_lb_setting
    return Nearness(setting, policy.outlier_detection is not None) if setting.enabled else None
