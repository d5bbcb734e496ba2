"""One Envoy: found, told where to ask for its config, supervised, drained."""
