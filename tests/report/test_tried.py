"""Every trial that has ended, with the verdict on its setting or the reason why it ended."""

from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import create_trial

from tests.helpers.simulated import batched_bench
from tests.report.studies import finished, goal_of
from tuner.errors import BadPictureError
from tuner.measure.measurement import Measurement
from tuner.report.tried import Trial, read_trials
from tuner.setting import Setting

BROKEN = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 1}})


def trials_of(study: optuna.Study) -> list[Trial]:
    return read_trials(study, study.user_attrs, goal_of(study))


def test_trials_that_were_stopped_or_failed_have_the_reason_as_their_outcome(
    tmp_path: Path,
) -> None:
    bench = batched_bench(tmp_path, trials=6, req_score_loss=0.001)
    plain = bench.measure

    def measure(setting: Setting, trial: int) -> Iterator[Measurement]:
        if setting == BROKEN:
            raise BadPictureError("black pictures")
        yield from plain(setting, trial)

    bench.measure = measure  # type: ignore[method-assign]
    bench.search(samples=32, stops_early=True, first=[BROKEN])
    trials = trials_of(finished(bench))
    assert [trial.number for trial in trials] == list(range(6))
    assert (trials[0].state, trials[0].outcome) == ("failed", "black pictures")
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert stopped
    assert all(trial.outcome.startswith("stopped after") for trial in stopped)
    assert not any(trial.feasible for trial in stopped)


def test_a_setting_that_was_measured_again_names_the_trial_that_counts(
    study: optuna.Study,
) -> None:
    first = next(trial for trial in study.trials if trial.user_attrs["setting"])
    study.add_trial(
        create_trial(
            params=first.params,
            distributions=first.distributions,
            values=first.values,
            user_attrs=first.user_attrs | {"prompts": 64},
        )
    )
    trials = trials_of(study)
    last = study.trials[-1].number
    assert trials[first.number].outcome.endswith(f"measured again in trial {last}")
    assert "measured again" not in trials[-1].outcome
