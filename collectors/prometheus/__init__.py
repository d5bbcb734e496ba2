"""Metrics from the HTTP API of Prometheus, Thanos, Mimir and VictoriaMetrics."""
