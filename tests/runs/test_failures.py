"""Trials that fail: broken pictures and crashes, and how they are reported."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from tests.runs.study import finished, spec, trials
from tuner.errors import TrialError, UnfitError
from tuner.measure.stopwatch import Seconds
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.results import Result
from tuner.timed_steps import timed_steps


class Sabotage(Observer):
    """Breaks the pipeline while one setting is measured, as a real fault would."""

    def __init__(self, unet: Any, target: str, *, crash: bool) -> None:
        self.unet, self.target, self.crash = unet, target, crash
        self.weight = unet.conv_out.weight
        self.healthy = self.weight.detach().clone()
        self.hook: Any = None
        self.ended: list[tuple[int, str, str]] = []

    def trial_began(self, number: int, setting: Setting) -> None:
        if str(setting) != self.target:
            return
        if self.crash:
            self.hook = self.unet.mid_block.register_forward_hook(self.fail)
        else:
            with torch.no_grad():
                self.weight.view(-1)[0] = float("nan")

    error: Exception = RuntimeError("CUDA error [/dev/nvidia0]:\nan illegal access")

    def fail(self, *args: Any) -> None:
        raise self.error

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        self.ended.append((number, state, reason))
        with torch.no_grad():
            self.weight.copy_(self.healthy)
        if self.hook is not None:
            self.hook.remove()
            self.hook = None


TOME_ONLY = {"search_targets": ("tome",), "knobs": {"tome": {"max_downsample": (1,)}}}


def test_broken_pictures_fail_with_their_reason_and_are_not_tried_again(
    tmp_path: Path, session: Session
) -> None:
    request = spec(tmp_path, trials=3, **TOME_ONLY)
    observer = Sabotage(session.evaluation(request).pipeline.unet, "tome 0.5/1", crash=False)
    session.run(request, observer)
    ended = finished(tmp_path)
    assert [trial.state for trial in ended[:2]] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "NaN or infinite" in ended[0].user_attrs["reason"]
    broken = [trial for trial in trials(tmp_path) if trial.params.get("tome.ratio") == 0.5]
    assert [trial.state for trial in broken if trial.user_attrs.get("tries")] == []
    assert not trials(tmp_path)[3:]
    assert observer.ended[0][1] == "FAIL"


def test_a_crashing_trial_is_tried_twice_more_and_the_study_goes_on(
    tmp_path: Path, session: Session
) -> None:
    request = spec(tmp_path, trials=3, **TOME_ONLY)
    observer = Sabotage(session.evaluation(request).pipeline.unet, "tome 0.5/1", crash=True)
    session.run(request, observer)
    ended = finished(tmp_path)
    assert len(ended) == 5
    failed = [trial for trial in ended if trial.state == TrialState.FAIL]
    assert [trial.user_attrs["setting"] for trial in failed] == [
        {"tome": {"ratio": 0.5, "max_downsample": 1}}
    ] * 3
    assert all("an illegal access" in trial.user_attrs["reason"] for trial in failed)
    assert all("RuntimeError" in trial.user_attrs["traceback"] for trial in failed)


def test_a_trial_out_of_memory_fails_with_a_remedy_and_the_next_one_runs(
    tmp_path: Path, session: Session
) -> None:
    request = spec(tmp_path, trials=2, **TOME_ONLY)
    observer = Sabotage(session.evaluation(request).pipeline.unet, "tome 0.5/1", crash=True)
    observer.error = torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB")
    session.run(request, observer)
    failed, complete = finished(tmp_path)
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert failed.user_attrs["reason"] == "out of memory; use a smaller batch_size"


def test_the_reason_of_a_crash_is_printed_unchanged_with_the_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    from tuner.cli.lines import TrialLines
    from tuner.limits import Limits
    from tuner.search.goal import Goal

    goal = Goal(limits=Limits(score_loss=0.02))
    lines = TrialLines(Console(soft_wrap=True), goal)
    for reason in ("no file [/tmp/weights]", "shape [bold] is not [red]"):
        lines.trial_began(0, Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}))
        lines.trial_ended(0, "FAIL", None, reason)
        assert capsys.readouterr().out == f"trial   0  FAIL  tome 0.5/1: {reason}\n"
    lines.trial_queued_again(0)
    assert capsys.readouterr().out == "trial   0  its setting will be tried again\n"


FAILS, PASSES = (
    Setting.of({"tome": {"ratio": ratio, "max_downsample": 1}}) for ratio in (0.3, 0.5)
)


def timed_while_one_fails(error: BaseException, folder: Path) -> list[Setting]:
    """Time the steps of two settings, of which the first raises an error; the settings timed."""

    def time(settings: list[Setting]) -> list[Seconds]:
        if FAILS in settings:
            raise error
        return [Seconds(whole=2.0, denoising=1.0, steps=(0.5, 0.5))] * (1 + len(settings))

    evaluation: Any = SimpleNamespace(latency_parts={"device": "cpu"}, timed_steps=time)
    storage = Storage(f"sqlite:///{folder / 'tuner.db'}")
    return [timed.setting for timed in timed_steps([FAILS, PASSES], evaluation, storage)]


@pytest.mark.parametrize("error", [RuntimeError("shapes"), KeyError("cache"), TrialError("memory")])
def test_a_setting_that_fails_while_steps_are_timed_is_left_out(
    error: Exception, tmp_path: Path
) -> None:
    assert timed_while_one_fails(error, tmp_path) == [Setting(), PASSES]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UnfitError("tome needs a U-Net")])
def test_an_error_that_is_no_fault_of_the_setting_ends_the_timing_of_steps(
    error: BaseException, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        timed_while_one_fails(error, tmp_path)
