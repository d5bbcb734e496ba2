"""View models to Dash components; pure."""
