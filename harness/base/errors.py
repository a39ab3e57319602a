"""The errors that a user can mend. The command line prints their message, without a traceback, and exits 2."""

from __future__ import annotations


class HarnessError(Exception):
    """Something outside the code is wrong: a suite, data, weights, a plug-in, the environment.

    The message says what is wrong, where, what was expected and what to do about it.
    """
