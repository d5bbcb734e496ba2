"""Supervises proxies and the commands beside them, apart from the server."""
