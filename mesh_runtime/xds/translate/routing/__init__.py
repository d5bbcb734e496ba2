"""What VirtualServices say, as Envoy's routes."""
