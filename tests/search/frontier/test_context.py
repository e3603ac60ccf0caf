"""What the sampler reads of stored trials."""

from pathlib import Path
from typing import Any

from tests.helpers.simulated import Bench, batched_bench, setting_of
from tuner.search.frontier.context import observation


def test_trials_with_excluded_accelerators_train_the_model_and_are_not_proposed(
    tmp_path: Path,
) -> None:
    def bench(**changes: Any) -> Bench:
        made = batched_bench(tmp_path, **changes)
        made.canonical = made.problem.canonical
        return made

    both = ("deepcache", "tome")
    before = bench(search_targets=both, trials=12, req_score_loss=0.005).search(
        32, stops_early=True
    )
    stopped = [setting_of(trial) for trial in before if trial.state.name == "PRUNED"]
    assert any(
        "tome" in setting.params for setting in stopped
    )  # the looser limit below revokes their verdicts
    after = bench(trials=22, req_score_loss=0.5).search(32, stops_early=True)[len(before) :]
    settings = [setting_of(trial) for trial in after]
    assert {setting.combination for setting in settings} == {"deepcache"}
    assert len(set(settings)) == len(settings) == 10
    whole = bench(trials=100, req_score_loss=0.5).search(32, stops_early=True)
    own = {setting_of(trial) for trial in whole if setting_of(trial).combination == "deepcache"}
    assert len(own) == 16
    assert len(whole) < 40  # it ends although settings of excluded accelerators are untried


def test_an_observation_is_read_from_a_trials_attributes() -> None:
    stored = {
        "setting": {"deepcache": {"cache_interval": 3, "cache_branch_id": 0}},
        "score_loss": 0.01,
        "score_loss_ci": [float("-inf"), float("inf")],
        "speedup": 2.0,
    }
    result = observation(stored)
    assert result.setting.combination == "deepcache"
    assert (result.loss, result.speedup) == (0.01, 2.0)
    assert 0 < result.error < 1  # one prompt says little, but not nothing
