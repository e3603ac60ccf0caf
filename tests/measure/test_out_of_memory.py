"""Running out of memory: one line names a remedy, and all memory is freed."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.errors import TrialError, UsageError
from tuner.measure.evaluation import Evaluation
from tuner.measure.out_of_memory import memory_errors
from tuner.session import Session
from tuner.setting import Setting
from tuner.size import Size
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.timed_steps import timed_steps

SETTING = Setting.of({"deepcache": {"cache_interval": 2, "cache_branch_id": 0}})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Two prompts at two steps on the bundled miniature."""
    spec = StudySpec(pipe="miniature", steps=2, num_samples=2, batch_size=2)
    return replace(Session().evaluation(spec), most_pairs=3)


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"sqlite:///{tmp_path / 'tuner.db'}")


@contextmanager
def full(pipeline: Any) -> Iterator[list[weakref.ref[Any]]]:
    """Out of memory halfway through a pass; yields references to the tensors that the pass held."""
    held: list[weakref.ref[Any]] = []

    def fail(module: Any, args: Any) -> None:
        activation = torch.ones(8)
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 MiB")

    hook = pipeline.unet.mid_block.register_forward_pre_hook(fail)
    try:
        yield held
    finally:
        hook.remove()


def test_a_resolution_too_large_for_any_machine_is_refused_in_one_line(
    evaluation: Evaluation, store: Storage
) -> None:
    side = 8 * 10**8
    call = evaluation.call.changed(height=side, width=side)
    huge = replace(evaluation, size=Size(side, side), call=call, batch_size=1)
    with pytest.raises(UsageError, match=r"measuring the baseline; use a lower resolution"):
        huge.baseline(store)


@pytest.mark.parametrize(
    ("size", "remedy"), [(2, "a smaller batch_size"), (1, "a lower resolution")]
)
def test_a_trial_out_of_memory_names_a_remedy_and_frees_all_memory(
    size: int, remedy: str, evaluation: Evaluation, store: Storage
) -> None:
    sized = replace(evaluation, batch_size=size)
    sized.baseline(store)
    with full(sized.pipeline) as held, pytest.raises(TrialError, match="out of memory") as caught:
        list(sized.measure(SETTING, store))
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [reference() for reference in held] == [None]  # although the exception still exists
    *_, last = sized.measure(SETTING, store)
    assert last.prompts == 2


def test_a_baseline_out_of_memory_is_an_error_of_the_users_input(
    evaluation: Evaluation, store: Storage
) -> None:
    with full(evaluation.pipeline) as held, pytest.raises(UsageError, match="baseline") as caught:
        evaluation.baseline(store)
    assert "a smaller batch_size" in str(caught.value)
    assert [reference() for reference in held] == [None]


def test_a_setting_out_of_memory_is_left_out_of_the_timed_steps(
    evaluation: Evaluation, store: Storage
) -> None:
    evaluation.pairs.steps([Setting()])  # makes the second denoiser of interleaved batches
    with full(evaluation.pipeline):
        assert timed_steps([SETTING], evaluation, store) == []
    assert [timed.setting for timed in timed_steps([SETTING], evaluation, store)] == [
        Setting(),
        SETTING,
    ]


@pytest.mark.parametrize(
    ("error", "recognised"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("shapes do not match"), False),
        (KeyError("out of memory"), False),
    ],
    ids=str,
)
def test_what_counts_as_out_of_memory(error: Exception, recognised: bool) -> None:
    with (
        pytest.raises(TrialError if recognised else type(error)),
        memory_errors(TrialError, "full"),
    ):
        raise error
