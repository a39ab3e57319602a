"""The command line: one thin command per verb, and what the commands show."""

from harness.cli.commands import main

__all__ = ["main"]
