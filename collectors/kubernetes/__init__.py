"""Kubernetes clusters: what runs there, and what their meshes are told to do, followed as it changes."""
