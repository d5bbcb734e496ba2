"""Prometheus' remote-write, 1.0 and 2.0: samples that are pushed to us instead of being asked for."""
