"""What a sweep's studies still need, and are expected to cost."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet.plan import Sweep
from tuner.fleet.costs import Costs
from tuner.fleet.needs import needs_of
from tuner.measure.device import model_of
from tuner.study.identity import request
from tuner.study.schema import COSTS

FIRST, SECOND, THIRD = "miniature/DDIM/20", "miniature/UniPC/20", "miniature/DDIM/50"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path, "--num-samples", "8", "--device", "cpu")


def measure(sweep: Sweep, triple: str, trials: int, seconds: float) -> None:
    """A study with a baseline of 0.5 s a picture and so many trials, which cost so many seconds."""
    spec = sweep.spec(triple)
    evaluation = {"device": model_of("cpu"), "resolution": 64}
    study = sweep.begin(triple, baseline={"latency_s": 0.5, "num_samples": 8, "score": 1.0})
    study.set_user_attr("evaluation", evaluation)
    study.set_user_attr("request", request(spec))
    for _ in range(trials):
        trial = study.ask()
        trial.set_user_attr("cost", {"seconds": {"scored pictures": seconds / trials}})
        study.tell(trial, [1.0, 0.0])
    study.set_user_attr(COSTS + "run", {"seconds": {}})


def expected(sweep: Sweep, triple: str) -> tuple[float | None, bool]:
    costs = Costs(sweep.storage, needs_of(sweep.specs, sweep.storage))
    each = costs.expected(next(n for n in costs.needs if n.spec.triple == triple))
    return (None if each.seconds is None else round(each.seconds, 6)), each.at_most


def test_nothing_is_known_without_a_study_of_the_model(sweep: Sweep) -> None:
    assert expected(sweep, FIRST) == (None, False)


def test_the_seconds_of_other_studies_are_in_proportion_to_trials_and_steps(sweep: Sweep) -> None:
    measure(sweep, FIRST, trials=5, seconds=40.0)
    assert expected(sweep, FIRST) == (40.0, False)  # as many trials are left
    assert expected(sweep, SECOND) == (80.0, False)
    assert expected(sweep, THIRD) == (200.0, False)


def test_a_baseline_alone_tells_an_upper_bound(sweep: Sweep) -> None:
    measure(sweep, FIRST, trials=1, seconds=3.0)
    assert expected(sweep, SECOND) == (10 * 8 * 0.5, True)


def test_the_study_of_nearest_steps_tells(sweep: Sweep) -> None:
    measure(sweep, FIRST, trials=5, seconds=40.0)
    measure(sweep, THIRD, trials=5, seconds=50.0)
    assert expected(sweep, "miniature/UniPC/50") == (100.0, False)


def test_another_device_tells_nothing(sweep: Sweep) -> None:
    measure(sweep, FIRST, trials=5, seconds=40.0)
    study = sweep.storage.study(FIRST)
    study.set_user_attr("evaluation", {"device": "a GPU", "resolution": 64})
    assert expected(sweep, SECOND) == (None, False)


def test_a_compiled_study_tells_nothing_of_one_that_is_not_compiled(sweep: Sweep) -> None:
    measure(sweep, FIRST, trials=5, seconds=40.0)
    study = sweep.storage.study(FIRST)
    study.set_user_attr("evaluation", study.user_attrs["evaluation"] | {"compile": "default"})
    assert expected(sweep, SECOND) == (None, False)


def test_a_complete_study_needs_nothing(sweep: Sweep) -> None:
    sweep.complete(FIRST)
    (needs,) = needs_of([sweep.spec(FIRST)], sweep.storage)
    assert (needs.complete, needs.left, needs.to_begin) == (True, 0, 0)
    more = replace(sweep.spec(FIRST), trials=15)
    (needs,) = needs_of([more], sweep.storage)
    assert (needs.complete, needs.left, needs.ended) == (False, 5, 10)


def test_the_disk_space_grows_with_trials_and_prompts(sweep: Sweep) -> None:
    few = Costs(None, needs_of(sweep.specs, None))
    many = Costs(None, needs_of([replace(s, trials=20) for s in sweep.specs], None))
    assert many.database_bytes == 2 * few.database_bytes > 0
    assert many.picture_bytes > 1.5 * few.picture_bytes > 0
