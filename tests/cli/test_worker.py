"""`tuner worker`: what it prints and raises once its studies are done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers.simulated import Bench
from tuner.cli import worker as module
from tuner.errors import UnreachedError
from tuner.outcome import Outcome
from tuner.search.goal import Goal


def test_a_study_of_a_pipeline_of_ones_own_that_misses_its_goal_is_an_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, pipeline="mine.py:pipeline")  # which study it has, only a run can tell
    bench.study.set_user_attr("baseline", {"latency_s": 1.0, "score": 30.0, "num_samples": 2})
    outcome = Outcome(study=bench.study, goal=Goal.of(bench.spec), results=[])

    def over(*arguments: object, **options: object) -> Iterator[tuple[object, Outcome]]:
        yield bench.spec, outcome

    monkeypatch.setattr(module, "work_on", over)
    with pytest.raises(UnreachedError, match=bench.study.study_name):
        module.run_worker([bench.spec], Console(), None, allow_pickle=False)
