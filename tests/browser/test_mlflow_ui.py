"""MLflow's user interface on a store of the harness, in a real browser: what somebody who knows MLflow looks for."""

from __future__ import annotations

import contextlib
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from harness_cli import Workspace
from mlflow import MlflowClient
from servers import free_port, wait_for

pytestmark = pytest.mark.browser

SMALLEST = 20
"""Pixels of an image that has come; what stands for one that has not is smaller."""


@dataclass(frozen=True)
class Site:
    """`harness ui` on a store with a finished suite.

    Attributes:
        link: the address of the suite that it printed.
        runs: the name of a run -> the address of its page.
    """

    link: str
    runs: dict[str, str]

    def run(self, name: str, tab: str = "") -> str:
        """The address of a tab of a run."""
        return f"{self.runs[name]}{tab}?workflowType=machine_learning"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    workspace = Workspace(tmp_path_factory.mktemp("ui"))
    workspace.run("run", workspace.suite(run={"snapshots": 5, "curve_points": 10, "quality": 50}))
    client, port = MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}"), free_port()
    experiment = client.get_experiment_by_name("tiny").experiment_id
    ids = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    process = workspace.start("ui", "--port", str(port))
    try:
        wait_for(lambda: answers(port))
        assert process.stdout is not None
        _, suite = process.stdout.readline(), process.stdout.readline().split()
        assert suite[0] == "tiny"
        base = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs"
        yield Site(suite[1], {name: f"{base}/{run}" for name, run in ids.items()})
    finally:
        process.terminate()
        process.communicate(timeout=60)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def drawn(image: Any) -> bool:
    """Whether an image has come from the server, and is one."""
    return bool(image.evaluate("image => image.complete && image.naturalWidth") >= SMALLEST)


def pixels(image: Any) -> str:
    """What an image shows, as the browser has decoded it."""
    draw = """image => {
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL();
    }"""
    return str(image.evaluate(draw))


def test_the_link_opens_the_trials_by_arm_with_the_values_as_columns(browser: Any, site: Site) -> None:
    page = browser.open(site.link, 1600, 900)
    page.get_by_text("Group: gan + ema").wait_for()
    for name in ("gan, seed 0", "gan, seed 1", "gan + ema, seed 0", "gan + ema, seed 1"):
        page.get_by_role("link", name=name, exact=True).wait_for()
    places = [page.get_by_role("columnheader", name=name).first.bounding_box()["x"] for name in ("sharpness", "fid")]
    assert places == sorted(places)  # the value that verdicts are about comes first
    page.get_by_text(re.compile(r"\(average\)")).first.wait_for()
    browser.keep(page, "mlflow-runs")
    page.get_by_role("link", name="gan, seed 1", exact=True).click()
    page.get_by_text("digits (").wait_for()  # the data set, with its digest
    browser.keep(page, "mlflow-trial")
    assert browser.errors == []


def test_the_suite_s_run_has_the_verdict_and_the_report(browser: Any, site: Site) -> None:
    page = browser.open(site.run("tiny"))
    page.get_by_text("Does it work?").wait_for()
    page.get_by_text(re.compile("Against gan on Sharpness")).first.wait_for()
    browser.keep(page, "mlflow-suite")
    page.goto(site.run("tiny", "/artifacts/report/leaderboard.csv"))
    page.get_by_text("sharpness_mean").first.wait_for()
    browser.keep(page, "mlflow-leaderboard")


def test_the_grids_over_training_have_a_slider(browser: Any, site: Site) -> None:
    page = browser.open(site.run("gan, seed 0", "/model-metrics"), 1300, 3600)  # drawn when in sight
    slider = page.get_by_role("slider").first
    slider.scroll_into_view_if_needed()
    image = page.locator("img[src*='samples']").first
    image.wait_for()
    wait_for(lambda: drawn(image), 20)
    first, before = image.get_attribute("src"), pixels(image)
    assert "step%2B000000" in first
    browser.keep(page, "mlflow-slider")
    slider.press("ArrowRight")
    moved = page.locator("img[src*='samples'][src*='step%2B000005']").first
    moved.wait_for()
    wait_for(lambda: drawn(moved), 20)
    assert page.locator(f"img[src='{first}']").count() == 0
    assert pixels(moved) != before
    moved.scroll_into_view_if_needed()  # below the parameters, which MLflow writes there
    browser.keep(page, "mlflow-slider-moved")


def test_a_link_of_the_report_opens_the_trial(browser: Any, site: Site) -> None:
    server, _, rest = site.runs["gan, seed 1"].partition("/#/")
    page = browser.open(f"{server}/#/runs/{rest.rpartition('/')[2]}")
    page.get_by_text("gan, seed 1").first.wait_for()
    page.get_by_text("digits (").wait_for()


def test_an_artifact_is_shown(browser: Any, site: Site) -> None:
    page = browser.open(site.run("gan, seed 0", "/artifacts/samples/final.png"))
    image = page.locator("img[src*='final.png'], img[src^='blob:']").first
    image.wait_for()
    wait_for(lambda: drawn(image), 20)
    browser.keep(page, "mlflow-artifact")


def test_the_generator_is_shown_as_a_model_with_its_signature(browser: Any, site: Site) -> None:
    page = browser.open(site.run("gan, seed 0", "/artifacts/generator"), 1500, 1000)
    page.get_by_text("MLflow Model", exact=True).wait_for()
    page.get_by_text("mlflow.pyfunc.load_model(logged_model)").first.wait_for()
    for group in ("Inputs (1)", "Outputs (1)"):
        page.get_by_text(group).wait_for()
    page.get_by_text(re.compile(r"Tensor \(dtype: uint8, shape: \[-1,28,28,1\]\)")).wait_for()
    browser.keep(page, "mlflow-model")
