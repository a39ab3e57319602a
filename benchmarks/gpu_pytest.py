"""A plug-in of pytest: it tells ``benchmarks/gpu.py`` of every test, leaves out those that are done, keeps time."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest
from gpu_events import end_with_parent, tell, wanted

COLLECTED = "collected, not run: it needs a CUDA device"


def short(nodeid: str) -> str:
    """A test's name without its file."""
    return nodeid.partition("::")[2]


class Telling:
    """The events of one session."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.reports: dict[str, list[pytest.TestReport]] = {}
        self.session: pytest.Session | None = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            tell({"items": [report.nodeid]})
            self._end(f"::{report.nodeid}", "failed", "it cannot be collected", str(report.longrepr))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        self.session = session
        items[:] = [item for item in items if wanted(short(item.nodeid), self.request)]
        tell({"items": [short(item.nodeid) for item in items]})
        items[:] = [item for item in items if short(item.nodeid) not in self.request["done"]]
        if config.option.collectonly:
            for item in items:
                tell({"begin": short(item.nodeid)})
                self._end(item.nodeid, "skipped", COLLECTED)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        tell({"begin": short(nodeid)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        reports = self.reports.pop(nodeid)
        seconds = sum(report.duration for report in reports)
        failed = next((report for report in reports if report.failed), None)
        skipped = next((report for report in reports if report.skipped), None)
        if failed is not None:
            crash = getattr(failed.longrepr, "reprcrash", None)
            self._end(nodeid, "failed", getattr(crash, "message", "failed"), str(failed.longrepr), seconds)
        elif skipped is not None:
            reason = skipped.longrepr[2] if isinstance(skipped.longrepr, tuple) else str(skipped.longrepr)
            self._end(nodeid, "skipped", reason.removeprefix("Skipped: "), "", seconds)
        else:
            self._end(nodeid, "passed", "", "", seconds)
        if time.time() > self.request["until"] and self.session is not None:
            self.session.shouldstop = "the time of this part is over"

    def pytest_sessionfinish(self) -> None:
        tell({"over": self.request["part"]})

    def _end(self, nodeid: str, state: str, message: str = "", trace: str = "", seconds: float = 0.0) -> None:
        result = {"state": state, "message": message[:1500], "trace": trace, "seconds": round(seconds, 3)}
        tell({"end": short(nodeid), "result": result})
        self.request["done"].append(short(nodeid))


def pytest_configure(config: pytest.Config) -> None:
    end_with_parent()
    config.pluginmanager.register(Telling(json.loads(os.environ["HARNESS_GPU_REQUEST"])), "gpu-telling")
