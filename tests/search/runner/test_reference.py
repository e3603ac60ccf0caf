"""Once a search has ended, the plain pipeline is measured with fewer steps, for comparison."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench, measurement
from tuner.errors import DatabaseGoneError, TrialError, UsageError
from tuner.measure.evaluation import Measurement
from tuner.measure.prediction import Prediction
from tuner.measure.statistics import Estimate
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.reference import measure_reference
from tuner.setting import Setting
from tuner.study.baseline import keep_baseline
from tuner.study.reference import read_reference, unmeasurable_steps
from tuner.study.results import read_results

STEPS = 50
KNOBS = {"deepcache": {"cache_interval": (2, 5), "cache_branch_id": (0, 3)}}
FIRST = [
    Setting.of({"deepcache": {"cache_interval": interval, "cache_branch_id": branch}})
    for interval, branch in ((2, 0), (5, 3))
]  # 1.2× and 1.8×


class Searched(Bench):
    """A searched study; denoising is 80% of the baseline, and each step less loses 0.1%."""

    def __init__(self, folder: Path, **changes: object) -> None:
        values = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 2} | changes
        super().__init__(folder, **values)  # type: ignore[arg-type]
        self.search(first=FIRST)
        self.steps: list[int] = []
        self.predicted: list[float] = []
        self.batches = 0
        self.errors: dict[int, Exception] = {}
        self.notices: list[str] = []
        self.key: str | None = None

    def fewer_steps(self, steps: int, predicted: Prediction) -> Iterator[Measurement]:
        self.steps.append(steps)
        self.predicted.append(predicted.speedup)
        if steps in self.errors:
            raise self.errors[steps]
        speedup, loss = 1 / (0.2 + 0.8 * steps / STEPS), (STEPS - steps) / 1000
        measured = replace(
            measurement(Setting()),
            speedup=Estimate(value=speedup, low=speedup, high=speedup),
            score_loss=Estimate(value=loss, low=loss, high=loss),
            denoising=None,
            latency_key=self.key,
        )
        for prompts in (16, 32, 48, 64):
            self.batches += 1
            yield replace(measured, prompts=prompts)

    def measure_reference(self, deadline: Deadline | None = None) -> int:
        return measure_reference(
            self.study,
            Goal.of(self.spec),
            STEPS,
            32,
            self.fewer_steps,
            deadline or Deadline(None),
            self.notices.append,
        )

    def rows(self) -> dict[int, float]:
        return {row.steps: row.speedup.value for row in read_reference(self.study)}


def test_the_front_is_bracketed_on_the_prompts_of_the_baseline(tmp_path: Path) -> None:
    bench = Searched(tmp_path)
    assert bench.measure_reference() == 4
    assert bench.steps == [21, 23, 41, 31]  # 1.87×, 1.76×, 1.17× and 1.44×
    assert bench.predicted == pytest.approx([1 / (0.2 + 0.8 * n / STEPS) for n in bench.steps])
    assert bench.batches == 2 * 4
    assert bench.notices == ["measuring the plain pipeline with fewer steps, for comparison"]
    (first, *_, last) = rows = read_reference(bench.study)
    assert [row.steps for row in rows] == [41, 31, 23, 21]  # slowest first
    assert (first.prompts, first.current) == (32, True)
    assert last.score_loss.value == 0.029
    assert last.latency_s == pytest.approx(0.2 + 0.8 * 21 / 50)
    assert len(bench.study.trials) == 2  # no trial was added


def test_only_what_is_missing_is_measured(tmp_path: Path) -> None:
    bench = Searched(tmp_path)
    assert bench.measure_reference(Deadline.after(0.0)) == 0
    assert "the timeout has passed" in bench.notices[-1]
    bench.errors[41] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        bench.measure_reference()
    assert set(bench.rows()) == {21, 23}
    bench.errors.clear()
    bench.steps.clear()
    assert bench.measure_reference() == 2
    assert bench.steps == [41, 31]
    assert bench.measure_reference() == 0


def test_steps_that_cannot_be_measured_give_a_line_and_others_are_measured(
    tmp_path: Path,
) -> None:
    bench = Searched(tmp_path)
    bench.errors = {21: UsageError("cannot run exactly 21 steps"), 41: TrialError("out of memory")}
    bench.measure_reference()
    assert (
        "the plain pipeline with 21 steps was not measured: cannot run exactly 21 steps"
        in bench.notices
    )
    assert "the plain pipeline with 41 steps was not measured: out of memory" in bench.notices
    assert set(bench.rows()) == {20, 23, 30, 40}
    assert unmeasurable_steps(bench.study) == {21: "cannot run exactly 21 steps"}
    bench.steps.clear()
    bench.measure_reference()
    assert bench.steps == []


def test_a_database_that_is_gone_ends_the_measurement_of_fewer_steps(tmp_path: Path) -> None:
    bench = Searched(tmp_path)
    bench.errors = {steps: DatabaseGoneError("the file was deleted") for steps in range(99)}
    with pytest.raises(DatabaseGoneError):
        bench.measure_reference()
    assert len(bench.steps) == 1
    assert not unmeasurable_steps(bench.study)


def test_another_machine_measures_rows_of_its_own(tmp_path: Path) -> None:
    bench = Searched(tmp_path)
    bench.measure_reference()
    bench.key = "another machine"
    keep_baseline(bench.study, replace(measurement(Setting()), latency_key=bench.key))
    assert [row.current for row in read_reference(bench.study)] == [False] * 4
    bench.steps.clear()
    assert bench.measure_reference() == 0  # the front was not timed there


def test_nothing_is_measured_where_no_setting_is_faster(tmp_path: Path) -> None:
    bench = Searched(tmp_path)
    slow = Bench(tmp_path, steps=20, search_targets=("deepcache",), trials=1)
    slow.search(first=[Setting()])
    assert [result.setting for result in read_results(slow.study)] == [Setting()]
    bench.study = slow.study
    assert bench.measure_reference() == 0
    assert bench.notices == []
