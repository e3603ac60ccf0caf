"""One loaded miniature and one searched study for all tests of runs."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import timed_by_work
from tests.runs.study import spec
from tuner.loading import load
from tuner.measure.evaluation import Evaluation
from tuner.measure.paired_timing import PairedTimings
from tuner.metrics.clip import ClipScore
from tuner.session import Session


@pytest.fixture(scope="package", autouse=True)
def quick_and_steady() -> Iterator[None]:
    """Time each setting by one pair and by its computation, and load the miniature once.

    Scores are raised by 100: those of small pictures may be negative, which leaves no loss.
    """
    evaluation, score = Session.evaluation, ClipScore.score

    def of_one_pair(*args: Any, **options: Any) -> Evaluation:
        return replace(evaluation(*args, **options), timing_pairs=1)

    with timed_by_work(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "evaluation", of_one_pair)
        patch.setattr("tuner.workloads.load", cache(load))
        patch.setattr(ClipScore, "score", lambda *args: [100 + value for value in score(*args)])
        patch.setattr(PairedTimings, "is_precise", lambda timings, precision: True)
        patch.setattr("tuner.session.contention", lambda device: None)
        yield


@pytest.fixture(scope="package")
def session() -> Session:
    """Loads the miniature once."""
    return Session()


@pytest.fixture(scope="package")
def searched(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Path:
    """A folder with a study of three trials; tests work on copies."""
    folder = tmp_path_factory.mktemp("searched")
    session.run(spec(folder))
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the searched study, as the working folder."""
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The batches that are generated during the test."""
    seen: list[range] = []
    generate = Evaluation.generate

    def counted(self: Evaluation, call: Any, numbers: range, *options: Any) -> Any:
        seen.append(numbers)
        return generate(self, call, numbers, *options)

    monkeypatch.setattr(Evaluation, "generate", counted)
    return seen
