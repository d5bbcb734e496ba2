"""The command line. ``argv`` and the environment are read here only."""

from console.cli.main import main

__all__ = ["main"]
