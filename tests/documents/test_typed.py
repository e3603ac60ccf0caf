"""Lines of the pages are typed literally, in the order of each page, in a folder with a search.

The lines that look at a search or write files from it are typed as they are. Those that search the
miniature are typed with flags behind them that make the search as small as it can be; the line with
`--compile` is left to `tests/compiled`. Lines that compare pictures are left to `tests/runs`.
"""

import shlex
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tests.documents.markdown import DOCS
from tests.documents.test_commands import commands, shell_lines
from tests.helpers.simulated import Bench, measurement
from tests.report.studies import searched
from tuner.cli.main import main

QUICK = ("show", "export", "report", "init", "completion")
SMALLEST = "--steps 2 --num-samples 2 --max-samples 2 --batch-size 2 --trials 1 --pictures none"
NAMES = ("miniature/DDIM/20", "SD1.5/DDIM/50")  # of the studies that pages speak of


def typed(page: Path) -> list[list[str]]:
    """The arguments of the page's quick lines that need no other database than `tuner.db`."""
    lines = [shlex.split(line, comments=True) for line in shell_lines(page)]
    return [
        words[1:]
        for words in lines
        if words[0] == "tuner" and words[1] in QUICK and not {"--storage", ">"} & set(words)
    ]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if typed(page)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("searched")
    bench = Bench(folder, trials=10)
    bench.measure = lambda setting, trial: iter(  # type: ignore[method-assign]
        [replace(measurement(setting), fidelity={})]
    )
    study = searched(bench)
    for name in NAMES:
        optuna.copy_study(
            from_study_name=study.study_name,
            from_storage=bench.storage.optuna,
            to_storage=bench.storage.optuna,
            to_study_name=name,
        )
    bench.storage.engine.dispose()
    bench.storage.optuna.engine.dispose()
    return (folder / "tuner.db").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_that_look_at_a_search_work_as_typed(
    page: Path,
    database: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuner.db").write_bytes(database)
    for arguments in typed(page):
        code = main(arguments)
        assert code == 0, f"tuner {shlex.join(arguments)}: {capsys.readouterr().err}"


def searches(page: Path) -> list[list[str]]:
    """The arguments of the page's lines that search the miniature."""
    lines = [words[1:] for words in commands(page) if words[:2] == ["tuner", "run"]]
    return [
        arguments
        for arguments in lines
        if "miniature" in arguments and "--compile" not in arguments
    ]


SEARCHES = [page for page in sorted(DOCS.glob("*.md")) if searches(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", SEARCHES, ids=lambda page: page.stem)
def test_lines_that_search_the_miniature_end_with_an_answer(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in searches(page):
        code = main([*arguments, *SMALLEST.split()])
        output = capsys.readouterr()
        # With so few steps and prompts the goal need not be reached.
        assert code in (0, 1), f"tuner {shlex.join(arguments)}: {output.err}"
        if "--dry-run" not in arguments:
            assert "Pareto front" in output.out + output.err
