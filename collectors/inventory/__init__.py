"""What exists, traffic or not: workloads, services and what config does to them, in the graph's words."""

from collectors.inventory.of_config import inventory_of
from collectors.inventory.registry import DEFAULT_CLUSTER, workload_ref, workloads_of
from collectors.inventory.several import merged

__all__ = ["DEFAULT_CLUSTER", "inventory_of", "merged", "workload_ref", "workloads_of"]
