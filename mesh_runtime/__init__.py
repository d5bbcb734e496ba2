"""A service mesh of its own: config, registry, certificate authority, xDS, and supervised Envoys.

Usable without the console; imports none of the other packages.
"""
