"""Pictures of the dashboard's pages, for the documentation.

Reads the database of a finished run, such as that of `make demo`, and writes PNG files: the Pareto
page, the page of the best trial of the front with its contact sheet, and the study's note. It needs
Chromium and Playwright.

    python -m bench.screenshots --storage tuner.db
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from bench.lib.browser import NoBrowserError, browser_page
from bench.lib.dashboard import served
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.study.results import read_results

HEIGHT = 1900  # pixels, so that a note and its contact sheet are on one picture
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
            _take(page, f"{address}/dashboard/studies/{number}", _best(storage, name), args.output)
    except NoBrowserError as error:
        sys.exit(str(error))


def _best(storage: Storage, name: str) -> int:
    """The number of the trial that a user would apply; of the last one where there is none."""
    study = storage.study(name)
    results = read_results(study)
    best = Goal.of_request(study.user_attrs["request"]).reached(results)
    return results[-1].trial if best is None else best.trial


def _take(page: Any, study: str, trial: int, folder: Path) -> None:
    _open(page, study)
    page.screenshot(path=folder / "dashboard-front.png")
    _open(page, f"{study}/trials?numbers={trial}")
    page.screenshot(path=folder / "dashboard-trial.png")
    _open(page, f"{study}/note")
    page.screenshot(path=folder / "dashboard-note.png")


def _open(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    main()
