"""Alerts on their way out: Standard Webhooks 1.0 or Alertmanager's payload, durable, signed, guarded."""
