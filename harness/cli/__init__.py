"""The command line.

``commands`` has one thin function per command; ``doctor``, ``overview`` and ``progress`` have what the commands print.
``main`` is the entry point of the console script ``harness``. Nothing else is for import: use ``harness.load`` in
scripts.
"""

from harness.cli.commands import main

__all__ = ["main"]
