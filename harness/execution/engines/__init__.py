"""The built-in engines, one file each. ``harness.execution.engine`` says what an engine guarantees."""

SHARED: tuple[str, ...] = ()
"""Modules of this folder that are no engines."""
