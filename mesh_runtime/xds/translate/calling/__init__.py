"""How services are called: clusters, endpoints and what DestinationRules say of them."""
