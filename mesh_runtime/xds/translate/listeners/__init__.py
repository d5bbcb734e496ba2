"""What sidecars listen to, on both sides of their workload."""
