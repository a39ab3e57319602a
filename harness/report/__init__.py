"""What a user reads when a suite is done: the page, the tables beside it, and the summary on the console."""

from harness.report.page import write
from harness.report.terminal import console

__all__ = ["console", "write"]
