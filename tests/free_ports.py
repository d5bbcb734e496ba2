"""Ports of 127.0.0.1 for programs that tests start.

Not those that the kernel would give: until its program listens, one of them may become a client's.
"""

from console.demo.members import free_ports

_PORTS = free_ports()


def free_port() -> int:
    """A port where nobody listens, given once."""
    return next(_PORTS)
