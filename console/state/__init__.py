"""What the server remembers beside the config: alert events, deliveries, how to undo changes."""
