"""Errors that a user can fix. The command line prints the message without a traceback, and exits with code 2."""

from __future__ import annotations


class HarnessError(Exception):
    """Something outside the code is wrong: a suite, data, weights, a plug-in, the environment.

    The message says what is wrong, where, what was expected, and what to do.
    """
