"""The page of a report in a real browser: what people see of it on screens and on paper."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import optuna
import pytest

from bench.lib.browser import NoBrowserError, browser_page
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import measurement
from tests.report.studies import finished, goal_of, verify
from tuner.measure.statistics import Estimate
from tuner.report.write import write_report
from tuner.setting import Setting
from tuner.study.best import pareto_front
from tuner.study.recording import store_reference
from tuner.study.results import read_results

pytestmark = pytest.mark.slow
LONG_PATH = "/models/" + "a-folder-with-a-long-name/" * 5
PAPER = 672  # pixels between the margins of a sheet of A4
READABLE = 4.5  # contrast of text that WCAG 2 asks for at level AA

# What reaches beyond the window and is not in an element that scrolls sideways.
BEYOND_WINDOW = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
    .filter(e => !e.parentElement.closest('pre, .wide') || getComputedStyle(
        e.parentElement.closest('pre, .wide')).overflowX === 'visible')
    .map(e => e.outerHTML.slice(0, 80))"""
BEYOND_FIGURE = """() => [...document.querySelectorAll('svg text')].filter(text => {
    const inner = text.getBoundingClientRect(), outer = text.closest('svg').getBoundingClientRect();
    return inner.left < outer.left - 1 || inner.right > outer.right + 1
        || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
}).map(text => text.textContent)"""
# Elements with text of their own whose contrast against what lies behind them is under a bound.
HARD_TO_READ = """bound => {
    const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const luminance = () => {
        const linear = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(
            v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const paint = colour => { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); };
    const contrast = element => {
        const behind = [];
        for (let e = element; e; e = e.parentElement) behind.unshift(e);
        paint('white');
        behind.forEach(e => paint(getComputedStyle(e).backgroundColor));
        const ground = luminance(), style = getComputedStyle(element);
        paint(element.closest('svg') ? style.fill : style.color);
        const text = luminance();
        return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
    };
    return [...document.querySelectorAll('body *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .filter(e => e.tagName !== 'style' && contrast(e) < bound)
        .map(e => `${e.tagName} ${e.textContent.slice(0, 40)}: ${contrast(e).toFixed(2)}`);
}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    """A study with everything that a page can show; no test changes it."""
    bench = PicturedBench(
        tmp_path_factory.mktemp("reported"),
        trials=12,
        search_targets=("deepcache", "tome", "tgate"),
    )
    bench.run()
    study = finished(bench, model=LONG_PATH)
    verify(study, loss=0.004)
    for steps, speedup, loss in ((40, 1.24, 0.002), (30, 1.65, 0.011), (25, 1.97, 0.024)):
        row = replace(
            measurement(Setting()),
            speedup=Estimate(value=speedup, low=speedup - 0.03, high=speedup + 0.03),
            score_loss=Estimate(value=loss, low=loss - 0.006, high=loss + 0.006),
            same_pictures=False,
        )
        store_reference(study, steps, row)
    return study


@pytest.fixture(scope="module")
def opened(study: optuna.Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser's page with the report; `requested` is what it has asked for since."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_report([study], file)
    try:
        with browser_page() as page:
            page.address = file.as_uri()
            page.requested = []
            page.on("request", lambda request: page.requested.append(request.url))
            page.goto(page.address)
            yield page
    except NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture
def page(opened: Any) -> Any:
    """The report on a screen of 1280 pixels, in the light mode and with everything unfolded."""
    opened.emulate_media(media="screen", color_scheme="light")
    opened.set_viewport_size({"width": 1280, "height": 900})
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return opened


def test_the_page_asks_for_nothing_but_itself(page: Any) -> None:
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert page.requested[0] == page.address
    assert [url for url in page.requested[1:] if not url.startswith("data:")] == []


def test_every_figure_is_drawn_and_no_text_is_cut_off_at_its_edge(page: Any) -> None:
    figures = page.locator("figure svg").all()
    labels = [figure.get_attribute("aria-label") for figure in figures]
    assert [label.split()[2] for label in labels[:3]] == ["score", "ssim", "lpips"]
    assert len(figures) == 5  # and importance and cost
    for figure in figures:
        box = figure.bounding_box()
        assert box["width"] > 300 and box["height"] > 100
    assert page.evaluate(BEYOND_FIGURE) == []


def test_every_setting_of_the_front_has_its_contact_sheet(page: Any, study: optuna.Study) -> None:
    front = pareto_front(read_results(study), goal_of(study).limits)
    expected = {result.trial for result in front if result.setting.accelerators}
    assert len(expected) > 3
    sheets = page.locator("figure.sheet img").all()
    names = {sheet.get_attribute("alt") for sheet in sheets}
    assert names == {f"Contact sheet of trial {trial}" for trial in expected}
    for sheet in sheets:
        sheet.evaluate("image => image.decode()")  # an error where it cannot be
        assert sheet.evaluate("image => image.naturalWidth") > 300
        assert sheet.bounding_box()["width"] > 200


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_reaches_beyond_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(BEYOND_WINDOW) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_in_the_light_and_in_the_dark_mode(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 254)" if scheme == "light" else "rgb(20, 24, 27)")
    assert page.evaluate(HARD_TO_READ, READABLE) == []
    assert page.evaluate(HARD_TO_READ, 22)  # no contrast is that high: texts were looked at


def test_nothing_is_cut_off_on_paper(page: Any) -> None:
    page.set_viewport_size({"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    assert page.evaluate(BEYOND_WINDOW) == []
    assert page.evaluate(BEYOND_FIGURE) == []


def test_a_printed_page_has_the_sheets_that_are_folded_on_the_screen(page: Any) -> None:
    sheets = page.locator("figure.sheet img").count()
    fresh = page.context.browser.new_page()  # folded, and not scrolled through
    fresh.goto(page.address)
    pdf = fresh.pdf(format="A4")
    fresh.close()
    assert pdf.startswith(b"%PDF")
    assert sheets > 3
    assert pdf.count(b"/Subtype /Image") == sheets
