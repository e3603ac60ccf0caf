"""The sampler of a worker whose trial another worker marks as failed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.simulated import Bench
from tuner.search.frontier.sampler import FrontierSampler
from tuner.setting import Setting

MOST = 20  # proposals, until a test counts as one that would never end


def workers(folder: Path) -> tuple[Bench, Bench]:
    first, second = (
        Bench(folder, sampler="frontier", search_targets=("deepcache",)) for _ in range(2)
    )
    return first, second


def during_proposal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Setting, int], None]
) -> list[Setting]:
    """Have something happen after the first proposal; returns all that are chosen."""
    chosen: list[Setting] = []
    choose = FrontierSampler._best

    def choose_and_go_on(self: FrontierSampler, untried: object) -> Setting | None:
        setting = choose(self, untried)  # type: ignore[arg-type]
        assert setting is not None
        assert len(chosen) < MOST, "it proposes the same setting for ever"
        chosen.append(setting)
        if len(chosen) == 1:
            happens(setting, len(bench.study.trials) - 1)
        return setting

    monkeypatch.setattr(FrontierSampler, "_best", choose_and_go_on)
    return chosen


def test_a_trial_that_was_marked_as_failed_meanwhile_ends_its_proposal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = workers(tmp_path)

    def fail(setting: Setting, number: int) -> None:
        trial = there.study.trials[number]
        (beat,) = there.storage.optuna.beats([trial._trial_id]).values()
        assert there.storage.optuna.fail_trial(
            there.study._study_id, trial._trial_id, beat[1], {"reason": "suspended"}, None
        )

    during_proposal(here, monkeypatch, fail)
    ended = here.search()
    assert [trial.state for trial in ended].count(TrialState.FAIL) == 1
    assert [trial.state for trial in ended].count(TrialState.COMPLETE) == 4
