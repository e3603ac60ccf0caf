"""A study with `--min-gain` ends by itself, and the same command measures nothing more."""

from pathlib import Path

import pytest

from tests.runs.study import FLAGS, TRIPLE, finished
from tuner.cli.main import main
from tuner.storage.database import Storage

ENDED = "the search has ended: no setting is expected to improve the result by 90%"


def test_a_search_ends_once_little_is_to_be_gained_and_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*FLAGS, "--pictures", "none", "--sampler", "frontier", "--trials", "20"]
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
    command = [*FLAGS, "--pictures", "none", "--sampler", "frontier", "--sched", "DDIM,UniPC"]
    command += ["--min-gain", "0.9"]
    assert main(command) == 0
    counts = [len(finished(tmp_path, name)) for name in (TRIPLE, "miniature/UniPC/4")]
    assert all(0 < count < 100 for count in counts)
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    assert "complete" in capsys.readouterr().out
    assert main(command) == 0
    assert counts == [len(finished(tmp_path, name)) for name in (TRIPLE, "miniature/UniPC/4")]


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
