"""Errors that a user can fix. The command line prints the message without a traceback, and exits with code 2."""

from __future__ import annotations

from typing import ClassVar

from harness.base.messages import visible


class HarnessError(Exception):
    """Something outside the code is wrong: a suite, data, weights, a plug-in, the environment.

    The message says what is wrong, where, what was expected, and what to do. Paths and names in it may hold any
    character: what a terminal would obey is shown as an escape. So a message of several lines is given line by line.

    Args:
        message: the first line.
        more: further lines, for example of a list.
    """

    placed: ClassVar[bool] = False
    """Whether every line begins with the place of a problem, as ``file:line:column:``."""

    def __init__(self, message: str, *more: str) -> None:
        super().__init__(message, *more)
        self.lines = (message, *more)

    def __str__(self) -> str:
        return "\n".join(map(visible, self.lines))

    def _render_traceback_(self) -> list[str]:
        """What notebooks show: the message, as the command line does."""
        return [str(self) if self.placed else f"error: {self}"]

    @property
    def sentence(self) -> str:
        """The whole message in one line."""
        first, *more = (visible(line) for line in self.lines)
        return f"{first} {'; '.join(line.strip() for line in more)}".strip()
