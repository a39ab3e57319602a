"""The report of a suite: the page (report.html), its tables and figures, and the summary on the console.

Import ``write`` and ``console`` from here. ``words`` puts numbers and verdicts into text for all of them;
``regression`` prints and writes the result of `harness check`; ``terminal`` also prints that of `harness compare`.
"""

from harness.report.page import write
from harness.report.terminal import console

__all__ = ["console", "write"]
