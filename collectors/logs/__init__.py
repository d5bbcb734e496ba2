"""Logs: of applications, of proxies, by OpenTelemetry; kept, searched and followed."""
