"""`tuner verify` on the bundled miniature: what holds is confirmed, what does not is said."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tuner.cli.main import main
from tuner.loading import load
from tuner.measure.evaluation import Evaluation
from tuner.metrics.clip import ClipScore
from tuner.params import write as export
from tuner.params.verify import every
from tuner.prompts import prompt_set
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.results import read_results

pytestmark = pytest.mark.usefixtures("ticking")  # how fast this machine is decides nothing
NAME = "miniature/DDIM/4"
ONE_KNOB = {"deepcache": {"cache_interval": (2,), "cache_branch_id": (0,)}}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The miniature is loaded once, three pairs are enough, and a score is never under zero."""
    evaluation, score = Session.evaluation, ClipScore.score

    def of_three_pairs(*given: Any, **asked: Any) -> Evaluation:
        return replace(evaluation(*given, **asked), most_pairs=3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "evaluation", of_three_pairs)
        patch.setattr("tuner.session.load", cache(load))
        patch.setattr(ClipScore, "score", lambda *given: [100 + one for one in score(*given)])
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a short search of one setting found; its figures made up, so that no noise decides."""
    folder = tmp_path_factory.mktemp("searched")
    spec = StudySpec(
        pipe="miniature",
        steps=4,
        num_samples=4,
        batch_size=2,
        resolution=32,
        trials=2,
        search_targets=("deepcache",),
        knobs=ONE_KNOB,
        req_score_loss=0.9,
        storage=f"sqlite:///{folder / 'tuner.db'}",
    )
    outcome = Session().run(spec)
    assert any(one.setting.accelerators for one in read_results(outcome.study))
    contents = export.document([outcome.study])
    for point in every(contents["studies"][NAME]):
        point |= {"speedup": 0.5, "speedup_ci": [0.4, 0.6], "verified": None}
    return contents


@pytest.fixture
def file(exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return written(tmp_path / "search_params.json", exported)


def written(path: Path, contents: dict[str, Any]) -> Path:
    path.write_text(json.dumps(contents))
    return path


def changed(path: Path, **values: Any) -> dict[str, Any]:
    """Change parts of the file's study; its contents."""
    contents: dict[str, Any] = json.loads(path.read_text())
    for name, value in values.items():
        contents["studies"][NAME][name] = value
    written(path, contents)
    return contents


def study(path: Path) -> dict[str, Any]:
    """The file's study, after the schema has seen it."""
    contents = json.loads(path.read_text())
    jsonschema.validate(contents, json.loads(export.SCHEMA.read_text()))
    found: dict[str, Any] = contents["studies"][NAME]
    return found


def test_what_holds_is_confirmed_with_other_prompts_and_noise(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[tuple[str, int]] = set()
    generate = Evaluation.generate

    def spied(self: Evaluation, call: Any, numbers: range, *watch: Any) -> Any:
        used.update((prompt, self.seed) for prompt in self.texts(numbers))
        return generate(self, call, numbers, *watch)

    monkeypatch.setattr(Evaluation, "generate", spied)
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    assert "holds: deepcache 2/0: " in out and "0.50× exported" in out
    found = study(file)
    for point in (found["best"], *found["pareto"]):
        assert point["verified"]["num_samples"] >= 4
        assert point["feasible"]
        assert point["speedup"] == 0.5  # the first figures stay
    assert not {prompt for prompt, _ in used} & set(prompt_set("miniature").load(16))
    assert not {seed for _, seed in used} & {42, 43}  # of the search, and of its own second look
    assert list(file.parent.iterdir()) == [file]  # no database, nothing half written


def test_a_best_that_misses_a_limit_is_no_longer_the_best(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {**study(file)["goal"], "limits": {"ssim": 0.99999}}
    changed(file, goal=goal)
    assert main(["verify", str(file)]) == 1
    captured = capsys.readouterr()
    assert "no longer holds (misses the limit of ssim): deepcache 2/0" in captured.out
    assert captured.err == f"tuner: {NAME}: the best does not hold\n"
    found = study(file)
    assert found["best"] is None
    assert found["by_combination"] == {}
    assert [point["feasible"] for point in found["pareto"]] == [False]
    assert main(["verify", str(file)]) == 1
    assert "it has no feasible setting" in capsys.readouterr().err


def test_a_best_that_is_slower_here_does_not_hold_and_stays_feasible(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = study(file)
    for point in every(found):
        point |= {"speedup": 99.0, "speedup_ci": [98.0, 100.0]}
    changed(file, **found)
    assert main(["verify", str(file), "--best"]) == 1
    assert "no longer holds (slower): deepcache 2/0" in capsys.readouterr().out
    assert study(file)["best"]["feasible"]


def test_what_is_verified_on_another_machine_has_that_machines_latency(file: Path) -> None:
    exported_s = 1000.0  # no machine takes so long
    here = study(file)["baseline"]
    changed(file, baseline=here | {"latency_s": exported_s})
    assert main(["verify", str(file)]) == 0
    again = study(file)["best"]["verified"]
    assert again["latency_s"] == pytest.approx(exported_s / again["speedup"])
    assert "timed_elsewhere" not in again

    changed(file, baseline=here | {"latency_s": exported_s, "latency_key": "another machine"})
    assert main(["verify", str(file)]) == 0
    again = study(file)["best"]["verified"]
    assert again["latency_s"] < 100
    assert again["timed_elsewhere"]


def test_a_setting_whose_pictures_are_black_here_does_not_hold(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Evaluation.generate_with

    def black(self: Evaluation, setting: Setting, *numbers: Any, **where: Any) -> Any:
        images, seconds = one(self, setting, *numbers, **where)
        return (images * 0 if setting.accelerators else images), seconds

    monkeypatch.setattr(Evaluation, "generate_with", black)
    assert main(["verify", str(file)]) == 1
    captured = capsys.readouterr()
    assert "no longer holds: deepcache 2/0: " in captured.out and "black" in captured.out
    assert captured.err == f"tuner: {NAME}: the best does not hold\n"
    assert study(file)["best"] is None


def test_other_weights_are_refused_before_anything_is_measured(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(file, evaluation=study(file)["evaluation"] | {"weights": "others"})
    before = file.read_text()
    monkeypatch.setattr(Evaluation, "generate", None)
    assert main(["verify", str(file)]) == 2
    assert "was searched with the weights others" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_file_that_is_none_is_the_users_to_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "nothing.json")]) == 2
    assert "cannot read" in capsys.readouterr().err
