"""A study with `--min-gain` ends by itself, and the same command measures nothing more."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.study import FLAGS, TRIPLE, finished
from tuner.cli.main import main
from tuner.limits import Limits
from tuner.measure.measurement import Measurement
from tuner.measure.statistics import Estimate
from tuner.search.runner.interrupt import Interruptible
from tuner.search.runner.stopping import StoppingRule
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.study.results import read_results
from tuner.study_ending import StudyEnding

COMMAND = [*FLAGS, "--pictures", "none", "--sampler", "frontier"]
COMMAND += ["--search-targets", "deepcache,tome"]
ENDED = "the search has ended: no setting is expected to improve the result by 90%"


def test_a_search_ends_once_little_is_to_be_gained_and_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "--trials", "20"]
    assert main([*command, "--min-gain", "0.9"]) == 0
    assert ENDED in capsys.readouterr().out
    ended = len(finished(tmp_path))
    assert 0 < ended < 20
    verified = Storage("sqlite:///tuner.db").study(TRIPLE).user_attrs["verified"]
    assert main([*command, "--min-gain", "0.9"]) == 0
    assert len(finished(tmp_path)) == ended
    assert Storage("sqlite:///tuner.db").study(TRIPLE).user_attrs["verified"] == verified
    assert main([*command, "--trials", str(ended + 1)]) == 0
    assert len(finished(tmp_path)) == ended + 1


def test_a_sweep_of_such_studies_is_complete_and_starts_none_of_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "--sched", "DDIM,UniPC", "--min-gain", "0.9"]
    assert main(command) == 0
    counts = [len(finished(tmp_path, name)) for name in (TRIPLE, "miniature/UniPC/4")]
    assert all(0 < count < 100 for count in counts)
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    assert "complete" in capsys.readouterr().out
    assert main(command) == 0
    assert counts == [len(finished(tmp_path, name)) for name in (TRIPLE, "miniature/UniPC/4")]


def test_a_search_goes_on_where_none_of_its_settings_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every setting of the first trials loses too much when it is verified."""
    monkeypatch.chdir(tmp_path)
    measure_again, refused = StudyEnding._measure_again, set[Setting]()

    def refusing(
        self: StudyEnding, setting: Setting, rule: StoppingRule, interruptible: Interruptible
    ) -> Iterator[Measurement]:
        if not refused:
            refused.update(result.setting for result in read_results(self.study))
        for measured in measure_again(self, setting, rule, interruptible):
            bad = Estimate(value=0.5, low=0.49, high=0.51)
            yield replace(measured, score_loss=bad) if setting in refused else measured

    monkeypatch.setattr(StudyEnding, "_measure_again", refusing)
    command = [*COMMAND, "--req-score-loss", "0.4"]
    assert main([*command, "--trials", "20", "--min-gain", "0.1"]) == 0
    assert "no setting holds so far: the search goes on" in capsys.readouterr().out
    results = read_results(Storage("sqlite:///tuner.db").study(TRIPLE))
    (winner,) = (result for result in results if result.verified and result.setting not in refused)
    assert winner.feasible(Limits(score_loss=0.4))
    assert refused < {result.setting for result in results}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sampler", "frontier", "--min-gain", "0"], "min_gain must lie between 0 and 1"),
        (["--sampler", "frontier", "--min-gain", "2"], "min_gain must lie between 0 and 1"),
        (
            ["--sampler", "tpe", "--min-gain", "0.1"],
            "works with the sampler frontier only, not tpe",
        ),
    ],
)
def test_it_must_be_a_share_and_of_frontier(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FLAGS, *flags]) == 2
    assert words in capsys.readouterr().err
