"""A full GPU: the trial fails in one line, its memory is freed, and the study continues."""

import gc
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from tests.gpu.pipelines import DEVICE, evaluation_of, generated, scarce
from tests.runs.study import finished, spec
from tuner.errors import TrialError, UsageError
from tuner.measure.baseline_store import InMemoryStore
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.setting import Setting
from tuner.study.results import Result

pytestmark = pytest.mark.gpu

CACHED = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})
A_LITTLE = 16 * 2**20  # bytes


def in_use() -> int:
    """Bytes of tensors on the GPU."""
    torch.cuda.synchronize(DEVICE)
    return torch.cuda.memory_allocated(DEVICE)


def test_a_trial_on_a_full_gpu_fails_in_one_line_and_frees_its_memory() -> None:
    evaluation, store = evaluation_of(), InMemoryStore()
    evaluation.baseline(store)
    before = generated(evaluation, Setting())
    gc.collect()
    used = in_use()
    gc.disable()  # memory must be freed without the garbage collector
    try:
        with scarce(), pytest.raises(TrialError, match="out of memory") as caught:
            list(evaluation.measure(CACHED, store))
        assert in_use() < used + A_LITTLE
        assert torch.cuda.memory_reserved(DEVICE) < used + 2**29
    finally:
        gc.enable()
    assert "\n" not in str(caught.value)
    assert "a lower resolution" in str(caught.value)  # no smaller batch is possible
    *_, last = evaluation.measure(CACHED, store)
    assert last.prompts == len(evaluation.prompts)
    assert torch.equal(generated(evaluation, Setting()), before)


def test_a_baseline_on_a_full_gpu_is_an_error_of_the_users_input() -> None:
    evaluation = evaluation_of(batch_size=2)
    with (
        scarce(),
        pytest.raises(UsageError, match="out of memory while measuring the baseline") as caught,
    ):
        evaluation.baseline(InMemoryStore())
    assert "a smaller batch_size" in str(caught.value)


class Filled(Observer):
    """Fills the GPU for the first trial."""

    def __init__(self) -> None:
        self.full = ExitStack()
        self.used: list[int] = []

    def trial_began(self, number: int, setting: Setting) -> None:
        self.used.append(in_use())
        if number == 0:
            self.full.enter_context(scarce())

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        self.full.close()


def test_a_study_goes_on_after_a_trial_that_did_not_fit(tmp_path: Path) -> None:
    request = spec(
        tmp_path,
        device="cuda",
        search_targets=("tome",),
        num_samples=128,
        max_samples=128,
        batch_size=128,
    )
    session, observer = Session(), Filled()
    evaluation = session.evaluation(request)
    outcome = session.run(request, observer)
    trials = finished(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.FAIL, *[TrialState.COMPLETE] * 2]
    reason = trials[0].user_attrs["reason"]
    assert reason == "out of memory; use a smaller batch_size"
    retries = [
        trial
        for trial in trials[1:]
        if trial.user_attrs["setting"] == trials[0].user_attrs["setting"]
    ]
    assert len(retries) == 1
    assert max(observer.used[1:]) < observer.used[0] + A_LITTLE
    stored = outcome.study.user_attrs["baseline"]
    scores, _ = evaluation.baseline(InMemoryStore())
    assert sum(scores.scores) / len(scores.scores) == stored["score"]
