"""What a second measurement overrules is infeasible for Optuna and its dashboard as well."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.landscape import Bench, measurement
from tuner.cli.answer import answer
from tuner.cli.tables import front_table
from tuner.errors import BadPictureError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.runner.verify import verify
from tuner.storage.database import Storage
from tuner.study.results import Result, read_results

OVER = Estimate(value=0.6, low=0.55, high=0.65)
KNOBS = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}


def searched(folder: Path, **changes: object) -> Bench:
    """One setting, which three trials came to, and the baseline."""
    asked = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 4}
    bench = Bench(folder, **asked | {"req_score_loss": 0.5} | changes)  # type: ignore[arg-type]
    bench.search()
    return bench


def overrule(bench: Bench, loss: Estimate | None = OVER) -> None:
    """Measure the winner again; None for a loss breaks off."""

    def again(result: Result) -> Iterator[Measurement]:
        if loss is None:
            raise BadPictureError("picture 1 is black")
        yield replace(measurement(result.setting), score_loss=loss, prompts=16)

    verify(bench.study, Goal.of(bench.spec), again, lambda result: None)


def stored(bench: Bench) -> dict[int, bool]:
    """Whether each trial that accelerates is feasible, by its constraints in the database."""
    study = Storage(bench.storage.url).study(bench.study.study_name)
    return {
        trial.number: all(excess <= 0 for excess in trial.constraints.values())
        for trial in study.trials
        if trial.user_attrs["setting"]
    }


@pytest.mark.parametrize("loss", [OVER, None], ids=["over", "failed"])
def test_constraints_of_an_overruled_trial_and_its_repeats_follow_the_verdict(
    loss: Estimate | None, tmp_path: Path
) -> None:
    bench = searched(tmp_path)
    assert len(stored(bench)) > 1 and all(stored(bench).values())
    overrule(bench, loss)
    assert not any(stored(bench).values())
    accelerated = [trial for trial in bench.study.best_trials if trial.user_attrs["setting"]]
    assert accelerated == []  # in this process too, whose Optuna remembers finished trials
    again = searched(tmp_path, trials=8)  # what comes to the setting again
    assert len(stored(again)) > len(stored(bench)) - 1
    assert not any(stored(again).values())


def test_a_changed_limit_judges_both_measurements(tmp_path: Path) -> None:
    overrule(searched(tmp_path))
    assert all(stored(searched(tmp_path, req_score_loss=0.61)).values())
    assert not any(stored(searched(tmp_path, req_score_loss=0.59)).values())


def test_a_failed_second_measurement_is_infeasible_under_every_limit(tmp_path: Path) -> None:
    overrule(searched(tmp_path), None)
    assert not any(stored(searched(tmp_path, req_score_loss=0.9)).values())


def test_a_database_of_an_older_version_is_judged_when_its_search_goes_on(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    figures = bench.study.trials[0].user_attrs | {"score_loss": 0.6, "score_loss_ci": [0.5, 0.7]}
    bench.study.set_user_attr("verified", {"0": figures, "1": figures})
    assert all(stored(bench).values())
    assert not any(stored(searched(tmp_path)).values())


def row(bench: Bench) -> list[str]:
    """The cells of the setting's row."""
    limits = Goal.of(bench.spec).limits
    found = [result for result in read_results(bench.study) if result.setting.accelerators][:1]
    return [next(iter(column.cells)) for column in front_table(found, limits, "").columns]  # type: ignore[misc]


def test_a_row_shows_both_measurements_and_the_answer_too(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    assert "1.30×" in row(bench) and row(bench)[-1] == "under the limit, sure"
    overrule(bench)
    assert row(bench)[-2:] == [
        "1.30×, loss 60.00%, ssim 0.97, lpips 0.06, 16 prompts",
        "over the limit in the verification, sure",
    ]
    assert "0.60% (-0.4% … 1.6%)" in row(bench)
    why, closest = answer(bench.study, Goal.of(bench.spec))
    assert "(score loss 60.00% where under 50% is asked when verified)" in why
    assert "loss 0.60%" in closest and "verification: 1.30×, loss 60.00%" in closest


def test_a_row_says_why_a_second_measurement_failed(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    overrule(bench, None)
    assert row(bench)[-2:] == [
        "failed: picture 1 is black",
        "verification failed, sure",
    ]


def test_a_row_that_was_confirmed_shows_the_second_figures(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    overrule(bench, Estimate(value=0.1, low=0.0, high=0.2))
    assert row(bench)[-2:] == [
        "1.30×, loss 10.00%, ssim 0.97, lpips 0.06, 16 prompts",
        "under the limit, sure",
    ]
    (line,) = answer(bench.study, Goal.of(bench.spec))
    assert line.endswith("; verified: 1.30×, loss 10.00%, ssim 0.97, lpips 0.06, 16 prompts")
