"""Writing a report: the page, and beside it the figures and the numbers as files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import optuna

from tuner.errors import UsageError
from tuner.params.write import write_text
from tuner.places import check_file, check_folder
from tuner.report.content import read_content
from tuner.report.csv_tables import csv_text, tables
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

    All places are checked and everything is drawn before the first file is written.

    Args:
        studies: one study, or the studies of a sweep.
        page: the HTML file.
        csv: a file that ends in '.csv' for the table of all trials, or a folder for all tables.
        figures: a folder for the figures, each as SVG and as PNG.

    Raises:
        UsageError: a file or folder cannot be written.
    """
    _check_places(page, csv, figures)
    contents = [read_content(study) for study in studies]
    sections = sections_of(contents)
    overview = overview_of(contents) if len(contents) > 1 else None
    drawn = [drawn for section in sections for drawn in section.figures]
    if overview is not None:
        drawn.append(overview.drawn)
    text = render(sections, overview)
    files: dict[Path, bytes] = {}
    if csv is not None:
        rows = {name: csv_text(table) for name, table in tables(contents).items()}
        files |= _tables_in(csv, rows)
    if figures is not None:
        files |= _figures_in(figures, drawn)
    try:
        for file, data in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename}: {error.strerror}; choose another file or folder"
        ) from error
    write_text(page, text)
    return [place for place in (page, csv, figures) if place is not None]


def _check_places(page: Path, csv: Path | None, figures: Path | None) -> None:
    check_file(page)
    if csv is not None and _is_table(csv):
        check_file(csv)
    elif csv is not None:
        check_folder(csv, "the tables need a folder, or one file that ends in .csv")
    if figures is not None:
        check_folder(figures, "the figures need a folder")


def _is_table(place: Path) -> bool:
    return place.suffix.lower() == ".csv"


def _tables_in(place: Path, texts: Mapping[str, str]) -> dict[Path, bytes]:
    if _is_table(place):
        return {place: texts["trials"].encode(errors="replace")}
    return {place / f"{name}.csv": text.encode(errors="replace") for name, text in texts.items()}


def _figures_in(folder: Path, figures: Iterable[Drawn]) -> dict[Path, bytes]:
    files: dict[Path, bytes] = {}
    for drawn in figures:
        files[folder / f"{drawn.file}.svg"] = drawn.svg.encode(errors="replace")
        files[folder / f"{drawn.file}.png"] = png(drawn.figure)
    return files
