"""Spans in Zipkin's format, version 2."""
