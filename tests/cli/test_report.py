"""`tuner report` on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.refused import Refused
from tests.helpers.simulated import Bench
from tests.report.studies import finished
from tuner.cli.main import main
from tuner.storage.database import Storage

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import sys
from tuner.cli.main import main
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "diffusers", "transformers") if name in sys.modules]
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.fixture
def bench(folder: Path) -> Bench:
    """A study with a baseline and without trials, in the working folder of the command."""
    bench = Bench(folder)
    finished(bench)
    return bench


def test_the_page_and_the_files_beside_it_are_written_without_importing_torch(
    bench: Bench, folder: Path
) -> None:
    arguments = ["miniature/DDIM/50", "-o", "a.html", "--csv", "tables", "--figures", "figures"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "report", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote a.html, tables, figures (1 study)\n"
    assert (folder / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {file.name for file in (folder / "tables").iterdir()} == {
        "studies.csv",
        "trials.csv",
        "combinations.csv",
        "fewer_steps.csv",
        "importance.csv",
        "costs.csv",
    }


def test_a_place_that_ends_in_csv_is_the_table_of_trials(bench: Bench, folder: Path) -> None:
    assert main(["report", "--csv", "trials.csv"]) == 0
    assert (folder / "trials.csv").read_text(encoding="utf-8").startswith("study")
    assert (folder / "report.html").exists()


def test_a_study_without_a_baseline_is_left_out_with_a_line(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.storage.open_study("SD1.5/DDIM/50", {})
    assert main(["report"]) == 0
    printed = capsys.readouterr().out
    assert "left out: the study 'SD1.5/DDIM/50' has no baseline yet" in printed
    assert "wrote report.html (1 study)" in printed


def test_a_study_without_a_baseline_is_refused_where_it_is_named(
    bench: Bench, refused: Refused
) -> None:
    bench.storage.open_study("SD1.5/DDIM/50", {})
    main(["report", "miniature/DDIM/50"])  # opens it once, so that the journal files exist
    assert "has no baseline yet; `tuner run` measures it" in refused("report", "SD1.5/DDIM/50")


@pytest.mark.usefixtures("folder")
def test_an_empty_database_and_an_unknown_study_are_refused(refused: Refused) -> None:
    storage = Storage("sqlite:///tuner.db")
    storage.engine.dispose()
    storage.optuna.engine.dispose()
    main(["report"])  # opens it once, so that the journal files exist
    refused.capsys.readouterr()
    assert "contains no study; `tuner run` creates one" in refused("report")
    assert "no study 'x'" in refused("report", "x")


def test_a_place_that_cannot_be_written_is_refused(bench: Bench, refused: Refused) -> None:
    main(["report"])
    refused.capsys.readouterr()
    line = refused("report", "-o", "nowhere/report.html")
    assert "cannot write nowhere/report.html: there is no folder nowhere" in line


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (["--csv", "nowhere/t.csv"], "cannot write nowhere/t.csv: there is no folder nowhere"),
        (["--csv", "taken"], "taken is a file; the tables need a folder, or one file that ends in"),
        (["--figures", "taken/figures"], "taken is a file; the figures need a folder"),
        (["-o", "."], "cannot write .: it is a folder"),
    ],
)
def test_where_one_place_cannot_be_written_nothing_is(
    place: list[str], words: str, bench: Bench, folder: Path, refused: Refused
) -> None:
    main(["report"])  # opens the database once, so that the journal files exist
    (folder / "report.html").unlink()
    (folder / "taken").write_text("a file")
    refused.capsys.readouterr()
    beside = ["--csv", "tables", "--figures", "figures"]
    assert words in refused("report", *beside, *place)
