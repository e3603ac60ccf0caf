"""`tuner run` on the bundled miniature: it ends, continues, survives and stops."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from tuner.cli import main
from tuner.measure.clock import Turns
from tuner.measure.evaluation import Evaluation
from tuner.measure.lock import device_lock
from tuner.search.loop import Watch
from tuner.search.record import Result
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage import Storage

ROOT = Path(__file__).parent.parent
TRIPLE = "miniature/DDIM/4"
# Whatever the weights are worth, something is feasible under 99 %.
FLAGS = ["run", "--pipe", "miniature", "--steps", "4", "--num-samples", "4", "--batch-size", "2"]
FLAGS += ["--sampler", "random", "--req-score-loss", "0.99", "--max-samples", "4"]


def spec(folder: Path, **changes: Any) -> StudySpec:
    """The study of `FLAGS`."""
    values: dict[str, Any] = {
        "pipe": "miniature",
        "steps": 4,
        "num_samples": 4,
        "max_samples": 4,
        "batch_size": 2,
        "trials": 3,
        "sampler": "random",
        "req_score_loss": 0.99,
        "storage": f"sqlite:///{folder / 'tuner.db'}",
    }
    return StudySpec(**values | changes)


@pytest.fixture(scope="module", autouse=True)
def steady_machine() -> Iterator[None]:
    """Whatever else runs here, no trial takes more pairs or finds another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Turns, "enough", lambda turns, precision: True)
        patch.setattr(Turns, "has_changed", False)
        patch.setattr("tuner.session.contention", lambda device: None)
        yield


@pytest.fixture(scope="module")
def session() -> Session:
    """Loads the miniature once for this file."""
    return Session()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Path:
    """A folder with a study of three trials; tests work on copies."""
    folder = tmp_path_factory.mktemp("searched")
    session.run(spec(folder))
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the searched study, as the working folder."""
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The batches that are generated from here on."""
    seen: list[range] = []
    generate = Evaluation.generate

    def counted(self: Evaluation, call: Any, numbers: range) -> Any:
        seen.append(numbers)
        return generate(self, call, numbers)

    monkeypatch.setattr(Evaluation, "generate", counted)
    return seen


def trials(folder: Path, name: str = TRIPLE) -> list[optuna.trial.FrozenTrial]:
    return Storage(f"sqlite:///{folder / 'tuner.db'}", create=False).study(name).trials


def finished(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return [one for one in trials(folder) if one.state.is_finished()]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What an SQL query finds; nothing while there is no such table."""
    with closing(sqlite3.connect(f"file:{folder / 'tuner.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def baselines(folder: Path) -> list[tuple[str, str, str]]:
    """Kind, key and time of every baseline: one that is measured again has another time."""
    return rows(folder, "SELECT kind, key, created FROM tuner_baselines ORDER BY created")  # type: ignore[return-value]


class Count(Watch):
    """Counts the trials that begin, and remembers what it was told."""

    began = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)

    def trial_began(self, number: int, setting: Setting) -> None:
        self.began += 1


def test_a_run_ends_with_a_front_pictures_and_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FLAGS, "--trials", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"{TRIPLE}: Pareto front" in captured.out
    assert len(finished(tmp_path)) == 3
    kinds = [kind for kind, _, _ in baselines(tmp_path)]
    assert sorted(kinds) == ["latency", "scores", "scores"]  # for searching and for verifying
    assert {one.name for one in tmp_path.iterdir()} - {"tuner.db-wal", "tuner.db-shm"} == {
        "tuner.db",
        "pictures",
    }
    pictures = {one.name for one in (tmp_path / "pictures" / "miniature_DDIM_4").iterdir()}
    assert {"baseline.png", "front.png", "trial-0000.png"} <= pictures
    assert main(["show"]) == 0
    assert f"{TRIPLE}: Pareto front" in capsys.readouterr().out
    assert main(["export"]) == 0
    assert (tmp_path / "search_params.json").is_file()


def test_the_same_command_again_measures_nothing_more(
    folder: Path, calls: list[range], capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(one.number, one.values, one.user_attrs) for one in finished(folder)]
    assert len(before) == 3
    kept = baselines(folder)
    assert main([*FLAGS, "--trials", "3", "--pictures", "none"]) == 0
    assert calls == []
    assert [(one.number, one.values, one.user_attrs) for one in finished(folder)] == before
    assert baselines(folder) == kept
    assert not Path("pictures").exists()
    assert "Pareto front" in capsys.readouterr().out


def test_more_trials_continue_without_the_baseline(folder: Path, session: Session) -> None:
    before, kept = finished(folder), baselines(folder)
    watch = Count()
    session.run(spec(folder, trials=5), watch)
    assert watch.began == 2
    after = finished(folder)
    assert len(after) == 5
    assert [one.number for one in after[:3]] == [one.number for one in before]
    assert baselines(folder) == kept


def test_a_changed_limit_judges_stored_trials_without_measuring(
    folder: Path, session: Session, calls: list[range]
) -> None:
    losses = sorted(one.values[1] for one in finished(folder) if one.values)
    limit = min(0.98, max(0.0001, losses[-1]))  # the worst one is not under it
    before, watch = finished(folder), Count()
    outcome = session.run(spec(folder, req_score_loss=limit), watch)
    assert watch.began == 0
    # At most another winner is measured again: a warm-up and three batches, each in two ways.
    assert len(calls) in (0, 8)
    assert [one.values for one in finished(folder)] == [one.values for one in before]
    for one in finished(folder):
        assert (one.constraints["0"] <= 0) == (one.values[1] < limit)
    assert all(one.score_loss.value < limit for one in [outcome.best] if one is not None)
    request = Storage(f"sqlite:///{folder / 'tuner.db'}").study(TRIPLE).user_attrs["request"]
    assert request["req_score_loss"] == limit


def test_limits_beside_the_score_are_kept_shown_exported_and_judged_anew(
    tmp_path: Path,
    calls: list[range],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*FLAGS, "--trials", "3", "--pictures", "none"]
    assert main([*command, "--limit", "ssim=-0.9", "--metrics", "psnr"]) == 0
    printed = capsys.readouterr().out
    assert "ssim over -0.9" in printed
    assert "ssim (95 %)" in printed
    assert "psnr (95 %)" in printed
    assert re.search(r"trial   0 .* psnr \d+\.?\d*, ssim 0\.\d+ ", printed)
    assert re.search(r"verified on .* psnr \d+\.?\d*, ssim 0\.\d+", printed)
    assert "the baseline's 4 pictures" in printed
    kept = baselines(tmp_path)
    found = {one.number: one.user_attrs["fidelity"]["ssim"]["value"] for one in finished(tmp_path)}
    calls.clear()
    best = max(found.values())
    assert main([*command, "--limit", f"ssim={best}", "--metrics", "psnr"]) == 1  # strictly over
    assert calls == []
    assert baselines(tmp_path) == kept
    assert "misses ssim" in capsys.readouterr().out
    for one in finished(tmp_path):
        assert [value <= 0 for value in one.constraints.values()] == [True, False]
    assert main(["show"]) == 0
    assert "misses ssim" in capsys.readouterr().out
    assert main(["export"]) == 0
    (entry,) = json.loads(Path("search_params.json").read_text())["studies"].values()
    assert entry["best"] is None
    assert entry["goal"]["limits"] == {"ssim": best}
    for point in entry["pareto"]:
        assert point["fidelity"]["ssim"]["value"] == found[point["trial"]]
    verified = [point["verified"] for point in entry["pareto"] if point["verified"]]
    assert all(set(one["fidelity"]) == {"psnr", "ssim"} for one in verified)


def test_another_baseline_of_a_study_is_told_with_what_changed(
    folder: Path, session: Session, calls: list[range]
) -> None:
    told, kept = [], baselines(folder)
    for threads in (1, 2, 2, 1):
        watch = Count()
        torch.set_num_threads(threads)
        try:
            session.run(spec(folder), watch)
        finally:
            torch.set_num_threads(1)
        told.append(watch.lines)
    assert told == [
        [],
        ["baseline measured again: threads 1 -> 2"],
        [],
        ["baseline taken from the database: threads 2 -> 1"],
    ]
    assert [kind for kind, key, time in baselines(folder) if (kind, key, time) not in kept] == [
        "latency"
    ]


def test_another_batch_size_makes_a_study_with_a_readable_suffix(
    folder: Path, session: Session, calls: list[range]
) -> None:
    kept = baselines(folder)
    session.run(spec(folder, batch_size=4, trials=1))
    names = Storage(f"sqlite:///{folder / 'tuner.db'}").study_names()
    assert names == [TRIPLE, f"{TRIPLE} batch=4"]
    assert calls
    new = [kind for kind, key, time in baselines(folder) if (kind, key, time) not in kept]
    assert new == ["latency"]  # the scores are the same
    assert len(finished(folder)) == 3


def test_a_target_stops_at_the_first_trial_that_meets_it(tmp_path: Path, session: Session) -> None:
    outcome = session.run(spec(tmp_path, req_speedup=0.01, trials=9))
    assert outcome.best is not None
    found = finished(tmp_path)
    assert len(found) < 9
    assert not any(one.values and Setting.of(one.user_attrs["setting"]).accelerators
                   for one in found[:-1])  # fmt: skip


def test_an_unreachable_target_is_exit_code_1_and_names_the_closest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fastest = max(
        (one for one in finished(folder) if one.values and one.user_attrs["setting"]),
        key=lambda one: one.values[0],
    )
    command = [*FLAGS, "--trials", "3", "--req-speedup", "1000", "--pictures", "none"]
    assert main(command) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "no setting reached speedup ≥ 1000" in line
    assert str(Setting.of(fastest.user_attrs["setting"])) in line
    assert f"{fastest.values[0]:.2f}×" in line


class Sabotage(Watch):
    """Breaks the pipeline while one setting is measured, with what a real fault would leave."""

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

    def fail(self, *args: Any) -> None:
        raise RuntimeError("CUDA error [/dev/nvidia0]:\nan illegal access")

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
    asked = spec(tmp_path, trials=3, **TOME_ONLY)
    watch = Sabotage(session.evaluation(asked).pipeline.unet, "tome 0.5/1", crash=False)
    session.run(asked, watch)
    found = finished(tmp_path)
    assert [one.state for one in found[:2]] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "not numbers" in found[0].user_attrs["reason"]
    broken = [one for one in trials(tmp_path) if one.params.get("tome.ratio") == 0.5]
    assert [one.state for one in broken if one.user_attrs.get("tries")] == []
    assert not trials(tmp_path)[3:]
    assert watch.ended[0][1] == "FAIL"


def test_a_crashing_trial_is_tried_twice_more_and_the_study_goes_on(
    tmp_path: Path, session: Session
) -> None:
    asked = spec(tmp_path, trials=5, **TOME_ONLY)
    watch = Sabotage(session.evaluation(asked).pipeline.unet, "tome 0.5/1", crash=True)
    session.run(asked, watch)
    found = finished(tmp_path)
    assert len(found) == 5
    failed = [one for one in found if one.state == TrialState.FAIL]
    assert [one.user_attrs["setting"] for one in failed] == [
        {"tome": {"ratio": 0.5, "max_downsample": 1}}
    ] * 3
    assert all("an illegal access" in one.user_attrs["reason"] for one in failed)
    assert all("RuntimeError" in one.user_attrs["traceback"] for one in failed)


def test_a_crashs_reason_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from tuner.report.progress import Display
    from tuner.search.goal import Goal
    from tuner.search.limits import Limits

    goal = Goal(limits=Limits(score_loss=0.02))
    display = Display(Console(soft_wrap=True), goal, 3, 4)
    for reason in ("no file [/tmp/weights]", "shape [bold] is not [red]"):
        display.trial_ended(0, "FAIL", None, reason)
        assert reason in capsys.readouterr().out


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    # A shell starts its background jobs, and so all of their children, with Ctrl-C switched off.
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", *FLAGS, "--pictures", "none", *more],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # as conftest.py has it
    )


def wait_for_a_running_trial(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    """Until a trial runs in a database that has `count` finished ones."""
    begun = "SELECT trial_id FROM trial_user_attributes WHERE key = 'combination'"
    query = f"SELECT state FROM trials WHERE trial_id IN ({begun})"
    limit = time.monotonic() + 300
    while time.monotonic() < limit and process.poll() is None:
        try:
            states = [state for (state,) in rows(folder, query)]
        except sqlite3.OperationalError:  # no file yet, or no table
            states = []
        if "RUNNING" in states and len(states) > count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no trial was seen at work: {process.communicate(timeout=5)}")


def test_a_killed_run_continues_and_tries_its_dead_trial_again(
    folder: Path, session: Session, calls: list[range]
) -> None:
    kept = baselines(folder)
    process = started(folder, "--trials", "50")
    wait_for_a_running_trial(folder, process, 3)
    process.kill()
    process.wait()
    left = trials(folder)
    dead = [one for one in left if one.state == TrialState.RUNNING]
    assert len(dead) == 1
    done = len([one for one in left if one.state.is_finished()])
    session.run(spec(folder, trials=done + 12))
    after = trials(folder)
    assert after[dead[0].number].state == TrialState.FAIL
    assert "process ended" in after[dead[0].number].user_attrs["reason"]
    assert not [one for one in after if one.state == TrialState.RUNNING]
    again = [one for one in after[dead[0].number + 1 :] if one.params == dead[0].params]
    assert [one.state for one in again] == [TrialState.COMPLETE]
    assert len(finished(folder)) == done + 12
    assert baselines(folder) == kept
    assert [one.values for one in after[:3]] == [one.values for one in left[:3]]


def test_a_run_waits_for_another_on_the_same_device(folder: Path) -> None:
    with device_lock("cpu", pytest.fail):
        process = started(folder, "--trials", "3", "--device", "cpu")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[0].startswith(TRIPLE)
        assert lines[1].startswith(f"waiting for cpu: process {os.getpid()} (")
        assert process.poll() is None
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Pareto front" in printed


def test_an_interrupted_run_says_how_to_go_on_and_does(folder: Path, session: Session) -> None:
    kept = baselines(folder)
    process = started(folder, "--trials", "50")
    wait_for_a_running_trial(folder, process, 3)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, printed + errors
    assert re.fullmatch(r"tuner: interrupted; the same command continues\n", errors)
    left = trials(folder)
    assert not [one for one in left if one.state == TrialState.RUNNING]
    done = len([one for one in left if one.state.is_finished()])
    session.run(spec(folder, trials=done + 1))
    assert len(finished(folder)) == done + 1
    assert baselines(folder) == kept
