"""OpenTelemetry spans: received, decoded, paired into edges."""
