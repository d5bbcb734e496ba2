"""Spans in Jaeger's Thrift format."""
