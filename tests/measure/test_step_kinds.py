"""Which steps of a setting compute the same."""

from tuner.measure.evaluation import Evaluation
from tuner.setting import Setting


def test_steps_that_compute_the_same_are_of_one_kind(evaluation: Evaluation) -> None:
    kinds, steps = evaluation.step_kinds, evaluation.steps
    baseline = kinds.of(Setting())
    assert baseline is not None
    assert len(baseline) == steps
    assert len(set(baseline)) == 1
    cached = kinds.of(Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}}))
    assert cached is not None
    assert len(cached) == steps
    assert len(set(cached[1::2])) == 1
    assert cached[1] not in set(cached[::2])
