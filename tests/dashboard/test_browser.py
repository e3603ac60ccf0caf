"""The dashboard in a real browser: the Pareto page, a trial of the front, and the study's note."""

from collections.abc import Iterator
from typing import Any

import pytest

from bench.lib.browser import NoBrowserError, browser_page
from bench.lib.dashboard import served
from tests.helpers.pictured import PicturedBench
from tuner.search.goal import Goal
from tuner.study.results import Result, read_results

pytestmark = pytest.mark.slow
WAIT_MS = 30_000
POINTS = """() => [...document.querySelectorAll('.js-plotly-plot')[0].data]
    .flatMap(trace => trace.x.map((x, i) => [x, trace.y[i]]))"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> PicturedBench:
    """A study of three trials that has run; no test changes it."""
    bench = PicturedBench(tmp_path_factory.mktemp("browsed"), trials=3)
    bench.run()
    return bench


@pytest.fixture(scope="module")
def page(bench: PicturedBench) -> Iterator[Any]:
    """A browser's page on the dashboard; `page.study` is the address of the study."""
    try:
        with served(bench.storage) as address, browser_page() as page:
            page.set_default_timeout(WAIT_MS)
            page.study = f"{address}/dashboard/studies/1"
            yield page
    except NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture
def best(bench: PicturedBench) -> Result:
    best = Goal.of(bench.spec).reached(read_results(bench.study))
    assert best is not None
    return best


def test_the_pareto_page_has_the_baseline_and_every_trial_as_points(
    page: Any, bench: PicturedBench
) -> None:
    page.goto(page.study)
    page.get_by_text("Pareto Front").wait_for()
    page.wait_for_function(f"() => ({POINTS})().some(point => point[0] === 1 && point[1] === 0)")
    points = {(x, y) for x, y in page.evaluate(POINTS) if x is not None}
    results = {(r.speedup.value, r.score_loss.value) for r in read_results(bench.study)}
    assert points == results | {(1.0, 0.0)}


def test_the_page_of_a_trial_shows_its_note_its_sheet_and_no_machine_data(
    page: Any, best: Result
) -> None:
    page.goto(f"{page.study}/trials?numbers={best.trial}")
    page.get_by_text("The fastest setting that meets the goal so far.").wait_for()
    sheet = page.get_by_alt_text("contact sheet", exact=True)
    sheet.wait_for()
    assert sheet.evaluate("image => image.complete && image.naturalWidth") > 500
    text = page.inner_text("body")
    assert f"setting {best.setting}" in text
    assert "latency_key" not in text and "paired" not in text


def test_the_page_of_the_baseline_says_that_it_is_no_trial(page: Any) -> None:
    page.goto(f"{page.study}/trials?numbers=-1")
    page.get_by_text("samplers and counts of trials leave it out").wait_for()
    page.get_by_alt_text("contact sheet", exact=True).wait_for()


def test_the_studys_note_says_what_was_found_and_how_to_apply_it(page: Any, best: Result) -> None:
    page.goto(f"{page.study}/note")
    page.get_by_text(f"is {best.setting} (trial {best.trial}): speedup").wait_for()
    text = page.inner_text("body")
    assert "The fastest setting with score loss under 2% is" in text
    assert 'tuner.apply(pipe, "search_params.json")' in text
