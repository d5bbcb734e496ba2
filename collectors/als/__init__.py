"""Access logs as a live stream of requests per edge: the tap."""
