"""Results that a verification overrules: their constraints for Optuna, and how they are shown."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.simulated import Bench, measurement
from tuner.cli.answer import answer
from tuner.cli.tables import front_table
from tuner.errors import BadPictureError
from tuner.measure.evaluation import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule
from tuner.search.runner.verify import verify
from tuner.storage.database import Storage
from tuner.study.results import Result, read_results

OVER = Estimate(value=0.6, low=0.55, high=0.65)
KNOBS = {"deepcache": {"cache_interval": (3,), "cache_branch_id": (0,)}}


def searched(folder: Path, **changes: object) -> Bench:
    """A finished search with four trials: of the baseline, and repeatedly of a single setting."""
    values = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 4}
    bench = Bench(folder, **values | {"req_score_loss": 0.5} | changes)  # type: ignore[arg-type]
    bench.search()
    return bench


def overrule(bench: Bench, loss: Estimate | None = OVER) -> None:
    """Verify the candidate with this loss; with None the verification fails."""

    def measure(result: Result, rule: StoppingRule) -> Iterator[Measurement]:
        if loss is None:
            raise BadPictureError("picture 1 is black")
        yield replace(measurement(result.setting), score_loss=loss, prompts=16)

    verify(bench.study, Goal.of(bench.spec), measure, lambda result: None)


def stored_feasibility(bench: Bench) -> dict[int, bool]:
    """Whether each trial that accelerates is feasible, by its constraints in the database."""
    study = Storage(bench.storage.url).study(bench.study.study_name)
    return {
        trial.number: all(excess <= 0 for excess in trial.constraints.values())
        for trial in study.trials
        if trial.user_attrs["setting"]
    }


@pytest.mark.parametrize("loss", [OVER, None], ids=["over", "failed"])
def test_an_overruled_trial_and_its_copies_are_infeasible_by_their_constraints(
    loss: Estimate | None, tmp_path: Path
) -> None:
    bench = searched(tmp_path)
    assert len(stored_feasibility(bench)) > 1 and all(stored_feasibility(bench).values())
    overrule(bench, loss)
    assert not any(stored_feasibility(bench).values())
    accelerated = [trial for trial in bench.study.best_trials if trial.user_attrs["setting"]]
    assert accelerated == []  # in this process too, where Optuna caches finished trials
    resumed = searched(tmp_path, trials=8)  # further trials of the same setting
    assert len(stored_feasibility(resumed)) > len(stored_feasibility(bench)) - 1
    assert not any(stored_feasibility(resumed).values())


def test_a_changed_limit_re_evaluates_both_measurements(tmp_path: Path) -> None:
    overrule(searched(tmp_path))
    assert all(stored_feasibility(searched(tmp_path, req_score_loss=0.61)).values())
    assert not any(stored_feasibility(searched(tmp_path, req_score_loss=0.59)).values())


def test_a_failed_verification_is_infeasible_under_every_limit(tmp_path: Path) -> None:
    overrule(searched(tmp_path), None)
    assert not any(stored_feasibility(searched(tmp_path, req_score_loss=0.9)).values())


def test_the_constraints_of_an_older_version_are_updated_when_its_search_continues(
    tmp_path: Path,
) -> None:
    bench = searched(tmp_path)
    figures = bench.study.trials[0].user_attrs | {"score_loss": 0.6, "score_loss_ci": [0.5, 0.7]}
    bench.study.set_user_attr("verified", {"0": figures, "1": figures})
    assert all(stored_feasibility(bench).values())
    assert not any(stored_feasibility(searched(tmp_path)).values())


def row(bench: Bench) -> list[str]:
    """The cells of the setting's row in the table of results."""
    limits = Goal.of(bench.spec).limits
    results = [result for result in read_results(bench.study) if result.setting.accelerators][:1]
    return [next(iter(column.cells)) for column in front_table(results, limits, "").columns]  # type: ignore[misc]


def test_a_row_shows_both_measurements_and_the_answer_too(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    assert "1.30×" in row(bench) and row(bench)[-1] == "under the limit, sure"
    overrule(bench)
    assert row(bench)[-2:] == [
        "1.30×, loss 60.00%, ssim 0.97, lpips 0.06, 16 prompts",
        "over the limit in the verification, sure",
    ]
    assert "0.60% (-0.40 … 1.60%)" in row(bench)
    why, closest = answer(bench.study, Goal.of(bench.spec))
    assert "(score loss 60.00% instead of under 50% when verified)" in why
    assert "loss 0.60%" in closest and "verification: 1.30×, loss 60.00%" in closest


def test_a_row_shows_why_a_verification_failed(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    overrule(bench, None)
    assert row(bench)[-2:] == [
        "failed: picture 1 is black",
        "verification failed, sure",
    ]


def test_the_row_of_a_confirmed_result_shows_the_verified_figures(tmp_path: Path) -> None:
    bench = searched(tmp_path)
    overrule(bench, Estimate(value=0.1, low=0.0, high=0.2))
    assert row(bench)[-2:] == [
        "1.30×, loss 10.00%, ssim 0.97, lpips 0.06, 16 prompts",
        "under the limit, sure",
    ]
    (line,) = answer(bench.study, Goal.of(bench.spec))
    assert line.endswith("; verified: 1.30×, loss 10.00%, ssim 0.97, lpips 0.06, 16 prompts")
