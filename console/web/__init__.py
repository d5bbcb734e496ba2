"""The console's HTTP face: security, REST API, live stream, agents' API."""
