"""The goal of a run: limits, which may change, and targets, at which it stops."""

import json
import re
from pathlib import Path

import pytest

from tests.runs.study import FLAGS, TRIPLE, Count, baselines, finished, spec
from tuner.cli.main import main
from tuner.search.runner.run import Search
from tuner.session import Session
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.baseline import attributes
from tuner.study.requests import is_answered


def test_a_changed_limit_re_evaluates_stored_trials_without_measuring(
    folder: Path, session: Session, calls: list[range]
) -> None:
    study = Storage(f"sqlite:///{folder / 'tuner.db'}").study(TRIPLE)

    def verifications() -> dict[str, list[dict[str, float]]]:
        return study.user_attrs.get("verified", {})

    earlier = len(verifications())
    losses = sorted(trial.values[1] for trial in finished(folder) if trial.values)
    limit = min(0.98, max(0.0001, losses[-1]))  # the greatest loss is not under it
    before, observer = finished(folder), Count()
    outcome = session.run(spec(folder, req_score_loss=limit), observer)
    assert observer.began == 0
    # Results are verified until one holds, each with a warm-up and two batches, one of which is
    # interleaved with a batch of the baseline.
    assert len(calls) == 4 * (len(verifications()) - earlier)
    assert [trial.values for trial in finished(folder)] == [trial.values for trial in before]
    for trial in finished(folder):
        again = verifications().get(str(trial.number), [])
        worst = max(trial.values[1], *(entry["score_loss"] for entry in again), 0.0)
        assert (trial.constraints["0"] <= 0) == (worst < limit)
    assert all(result.score_loss.value < limit for result in [outcome.best] if result is not None)
    assert study.user_attrs["request"]["req_score_loss"] == limit


def test_limits_of_extra_metrics_are_checked_shown_exported_and_re_evaluated(
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
    assert "ssim (95%)" in printed
    assert "psnr (95%)" in printed
    assert re.search(r"trial   0 .* psnr \d+\.?\d*, ssim 0\.\d+ ", printed)
    assert re.search(r"verification on .* psnr \d+\.?\d*, ssim 0\.\d+", printed)
    assert "the baseline's 4 pictures" in printed
    stored = baselines(tmp_path)
    similarities = {
        trial.number: trial.user_attrs["fidelity"]["ssim"]["value"] for trial in finished(tmp_path)
    }
    calls.clear()
    best = max(similarities.values())
    assert main([*command, "--limit", f"ssim={best}", "--metrics", "psnr"]) == 1  # strictly over
    assert calls == []
    assert baselines(tmp_path) == stored
    ended = capsys.readouterr()
    assert "misses the limit of ssim" in ended.out
    assert "blocking limit: ssim; " in ended.err
    for trial in finished(tmp_path):
        assert [value <= 0 for value in trial.constraints.values()] == [True, False]
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    assert "misses the limit of ssim" in shown
    assert "blocking limit: ssim; " in shown
    assert "closest setting: " in shown
    assert main(["export"]) == 0
    (entry,) = json.loads(Path("search_params.json").read_text())["studies"].values()
    assert entry["best"] is None
    assert entry["goal"]["limits"] == {"ssim": best}
    for point in entry["pareto"]:
        assert point["fidelity"]["ssim"]["value"] == similarities[point["trial"]]
    verified = [point["verified"] for point in entry["pareto"] if point["verified"]]
    assert all(set(verification["fidelity"]) == {"psnr", "ssim"} for verification in verified)


def test_a_target_stops_at_the_first_trial_that_meets_it(tmp_path: Path, session: Session) -> None:
    outcome = session.run(spec(tmp_path, req_speedup=0.01, trials=9))
    assert outcome.best is not None
    ended = finished(tmp_path)
    assert len(ended) < 9
    assert not any(trial.values and Setting.of(trial.user_attrs["setting"]).accelerators
                   for trial in ended[:-1])  # fmt: skip


def test_the_search_for_a_target_goes_on_until_the_timeout_if_verifications_fail(
    folder: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 5))
    left: list[float | None] = []
    monkeypatch.setattr("tuner.search.deadline.monotonic", lambda: float(next(clock)))

    def search_nothing(search: Search) -> bool:
        left.append(search.deadline.left)
        return True

    monkeypatch.setattr(Search, "run", search_nothing)
    monkeypatch.setattr("tuner.study_ending.verify", lambda *_, **__: None)
    session.run(spec(folder, req_speedup=0.01, trials=9, timeout=40.0))
    assert left == [35.0, 25.0, 15.0, 5.0]


def test_a_run_that_its_timeout_ends_has_not_answered_its_request(
    folder: Path, session: Session
) -> None:
    for timeout, is_in_time in ((1e-6, False), (600.0, True)):
        request = spec(folder, trials=3, req_score_loss=0.5, timeout=timeout)
        outcome = session.run(request)
        assert outcome.timed_out is not is_in_time
        assert is_answered(attributes(outcome.study), request) is is_in_time


def test_an_unreachable_target_gives_exit_code_1_and_the_closest_setting(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fastest = max(
        (trial for trial in finished(folder) if trial.values and trial.user_attrs["setting"]),
        key=lambda trial: trial.values[0],
    )
    command = [*FLAGS, "--trials", "3", "--req-speedup", "1000", "--pictures", "none"]
    assert main(command) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "no setting met the goal (speedup ≥ 1000" in line
    assert str(Setting.of(fastest.user_attrs["setting"])) in line
    assert f"{fastest.values[0]:.2f}×" in line


@pytest.mark.parametrize(("lines", "warned"), [(7, True), (8, False)])
def test_a_prompt_file_that_is_too_short_for_other_prompts_in_verification_is_reported(
    lines: int, warned: bool, tmp_path: Path, session: Session
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"a red circle, {number}\n" for number in range(lines)))
    observer = Count()
    session.run(spec(tmp_path, prompts=str(file), trials=1), observer)
    assert any("has fewer than 8 prompts" in line for line in observer.lines) == warned
