"""`tuner export --pick`: another setting than the best is written into the file, with its rule."""

from pathlib import Path

import pytest

from tests.helpers.simulated import measurement
from tests.params.test_write import checked, searched
from tuner.cli.main import main
from tuner.errors import UsageError
from tuner.params import write as export
from tuner.search.goal import Goal
from tuner.study.recording import store_verification
from tuner.study.results import read_results


def test_a_picked_setting_is_exported_with_its_rule_beside_the_best(tmp_path: Path) -> None:
    bench = searched(tmp_path, trials=20, req_score_loss=0.03)
    (study,) = checked(export.document([bench.study], pick="Knee"))["studies"].values()
    picked = study["picked"]
    assert picked["rule"] == "knee"
    assert picked["point"] in study["pareto"]
    assert study["best"] == export.entry(bench.study)["best"]
    worst = max(read_results(bench.study), key=lambda result: result.score_loss.value)
    (study,) = checked(export.document([bench.study], pick=f"trial {worst.trial}"))[
        "studies"
    ].values()
    assert not study["picked"]["point"]["feasible"]
    assert study["picked"]["point"]["params"] == worst.setting.params


def test_the_export_says_what_was_picked_and_that_it_was_not_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench = searched(tmp_path, trials=8, req_score_loss=0.5)
    slow = min(
        (r for r in read_results(bench.study) if r.setting.accelerators),
        key=lambda result: result.speedup.value,
    )
    assert main(["export", "--pick", f"trial {slow.trial}"]) == 0
    printed = capsys.readouterr().out
    assert f"miniature/DDIM/50: picked trial {slow.trial}: {slow.setting}, " in printed
    assert "; not verified; `tuner verify --best search_params.json` verifies it\n" in printed
    again = measurement(slow.setting)
    store_verification(bench.study, slow.trial, again, Goal.of(bench.spec).limits)
    assert main(["export", "--pick", f"trial {slow.trial}"]) == 0
    assert f"; verified: {again.speedup.value:.2f}×, loss " in capsys.readouterr().out


def test_a_pick_that_nothing_satisfies_writes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    searched(tmp_path, trials=4, req_score_loss=0.5)
    assert main(["export", "--pick", "speedup>=99"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "no feasible setting of miniature/DDIM/50 has speedup>=99; the nearest is trial" in line
    assert main(["export", "--pick", "speedup"]) == 2
    assert "a shell needs quotes" in capsys.readouterr().err
    assert not (tmp_path / "search_params.json").exists()


def test_a_trial_is_picked_from_one_study_only(tmp_path: Path) -> None:
    studies = [searched(tmp_path, steps=steps, trials=2).study for steps in (20, 50)]
    with pytest.raises(UsageError, match="choose one of miniature/DDIM/20, miniature/DDIM/50"):
        export.document(studies, pick="trial 1")
