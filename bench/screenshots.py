"""Pictures of the dashboard and of the report, for the documentation.

Reads the database of a finished run, such as that of `make demo`, and writes PNG files. Of the
dashboard: the Pareto page, the page of the best trial of the front with its contact sheet, and the
study's note. Of the report: its top with the front, and its pictures. It needs Chromium and
Playwright.

    python -m bench.screenshots --storage tuner.db
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna

from bench.lib.browser import NoBrowserError, browser_page
from bench.lib.dashboard import served
from tuner.report.write import write_report
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.study.results import read_results

HEIGHT = 1900  # pixels, so that a note and its contact sheet are on one picture
REPORT = {"width": 1120, "height": 1000}  # pixels: the width of its text with narrow margins
MARGIN = 16  # pixels above and below a part of the report
FOLDER = Path(__file__).parent.parent / "docs" / "images"
SETTLED_MS = 2500  # charts are drawn after the page was loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", default="tuner.db", help="database (default: tuner.db)")
    parser.add_argument("--study", help="name of the study (default: the first one)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder of the pictures")
    args = parser.parse_args()
    storage = Storage(args.storage, create=False)
    name = args.study or storage.study_names()[0]
    number = storage.study_names().index(name) + 1
    args.output.mkdir(parents=True, exist_ok=True)
    try:
        with served(storage) as address, browser_page(HEIGHT) as page:
            study = f"{address}/dashboard/studies/{number}"
            _take_dashboard(page, study, _best(storage, name), args.output)
            _take_report(page, storage.study(name), args.output)
    except NoBrowserError as error:
        sys.exit(str(error))


def _best(storage: Storage, name: str) -> int:
    """The number of the trial that a user would apply; of the last one where there is none."""
    study = storage.study(name)
    results = read_results(study)
    best = Goal.of_request(study.user_attrs["request"]).reached(results)
    return results[-1].trial if best is None else best.trial


def _take_dashboard(page: Any, study: str, trial: int, folder: Path) -> None:
    _open(page, study)
    page.screenshot(path=folder / "dashboard-front.png")
    _open(page, f"{study}/trials?numbers={trial}")
    page.screenshot(path=folder / "dashboard-trial.png")
    _open(page, f"{study}/note")
    page.screenshot(path=folder / "dashboard-note.png")


def _take_report(page: Any, study: optuna.Study, folder: Path) -> None:
    with TemporaryDirectory() as place:
        file = Path(place) / "report.html"
        write_report([study], file)
        page.set_viewport_size(REPORT)
        page.goto(file.as_uri())
        _clip(page, folder / "report.png", page.locator("body"), page.locator("figure").first)
        heading = page.get_by_role("heading", name="Pictures")
        pictures = page.locator("section", has=heading)
        if pictures.count():  # a run with `--pictures none` has none
            _clip(page, folder / "report-pictures.png", heading, pictures)


def _clip(page: Any, file: Path, first: Any, last: Any) -> None:
    """Write a part of a page: from the top of one element to the end of another."""
    box = last.bounding_box()
    top = max(0, first.bounding_box()["y"] - MARGIN)
    height = box["y"] + box["height"] + MARGIN - top
    clip = {"x": 0, "y": top, "width": REPORT["width"], "height": height}
    page.screenshot(path=file, full_page=True, clip=clip)


def _open(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    main()
