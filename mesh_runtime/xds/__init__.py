"""Translation to Envoy and delivery by delta ADS."""
