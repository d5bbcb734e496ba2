"""What EnvoyFilters change of what was generated."""
