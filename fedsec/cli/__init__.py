"""The command line."""

from fedsec.cli.main import main

__all__ = ["main"]
