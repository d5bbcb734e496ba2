"""What gateways open, terminate and pass on."""
