"""Writing a report: the page, and beside it the figures and the numbers as files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import optuna

from tuner.errors import UsageError
from tuner.report.content import read_content
from tuner.report.csv_tables import Row, tables, write_csv
from tuner.report.figures.style import png
from tuner.report.page import render
from tuner.report.sections import Drawn, overview_of, sections_of


def write_report(
    studies: Sequence[optuna.Study],
    page: Path,
    *,
    csv: Path | None = None,
    figures: Path | None = None,
) -> list[Path]:
    """Write the report of studies that have a baseline; returns the files and folders.

    Args:
        studies: one study, or the studies of a sweep.
        page: the HTML file.
        csv: a file that ends in '.csv' for the table of all trials, or a folder for all tables.
        figures: a folder for the figures, each as SVG and as PNG.

    Raises:
        UsageError: a file or folder cannot be written.
    """
    contents = [read_content(study) for study in studies]
    sections = sections_of(contents)
    overview = overview_of(contents) if len(contents) > 1 else None
    drawn = [drawn for section in sections for drawn in section.figures]
    if overview is not None:
        drawn.append(overview.drawn)
    try:
        page.write_text(render(sections, overview), encoding="utf-8")
        if csv is not None:
            _write_tables(tables(contents), csv)
        if figures is not None:
            _write_figures(drawn, figures)
    except OSError as error:
        place = error.filename or page
        raise UsageError(
            f"cannot write {place}: {error.strerror}; choose another file or folder"
        ) from error
    return [place for place in (page, csv, figures) if place is not None]


def _write_tables(rows: dict[str, list[Row]], place: Path) -> None:
    if place.suffix.lower() == ".csv":
        write_csv(place, rows["trials"])
        return
    place.mkdir(parents=True, exist_ok=True)
    for name, table in rows.items():
        write_csv(place / f"{name}.csv", table)


def _write_figures(figures: Iterable[Drawn], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for drawn in figures:
        (folder / f"{drawn.file}.svg").write_text(drawn.svg, encoding="utf-8")
        (folder / f"{drawn.file}.png").write_bytes(png(drawn.figure))
