"""`tuner verify` on the bundled miniature: results are confirmed, or what they miss is reported."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import timed_by_work
from tuner.cli.main import main
from tuner.loading import load
from tuner.measure.evaluation import Evaluation
from tuner.metrics.clip import ClipScore
from tuner.params import schema
from tuner.params import write as export
from tuner.params.pick import all_points
from tuner.params.verify import set_verdict
from tuner.prompts import prompt_set
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.results import read_results

pytestmark = pytest.mark.usefixtures("ticking")  # verdicts must not depend on this machine's speed
NAME = "miniature/DDIM/4"
ONE_KNOB = {"deepcache": {"cache_interval": (2,), "cache_branch_id": (0,)}}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Load the miniature once, time three pairs only, and keep scores positive."""
    evaluation, score = Session.evaluation, ClipScore.score

    def of_three_pairs(*args: Any, **options: Any) -> Evaluation:
        return replace(evaluation(*args, **options), most_pairs=3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "evaluation", of_three_pairs)
        patch.setattr("tuner.workloads.load", cache(load))
        patch.setattr(ClipScore, "score", lambda *args: [100 + value for value in score(*args)])
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The export of a short search of one setting, with made-up speedups."""
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
    assert any(result.setting.accelerators for result in read_results(outcome.study))
    contents = export.document([outcome.study])
    for point in all_points(contents["studies"][NAME]):
        point |= {"speedup": 0.5, "speedup_ci": [0.4, 0.6], "verified": None}
    return contents


@pytest.fixture
def file(exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exported file, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return written(tmp_path / "search_params.json", exported)


def written(path: Path, contents: dict[str, Any]) -> Path:
    path.write_text(json.dumps(contents))
    return path


def changed(path: Path, **values: Any) -> dict[str, Any]:
    """Change parts of the file's study; returns the contents."""
    contents: dict[str, Any] = json.loads(path.read_text())
    for name, value in values.items():
        contents["studies"][NAME][name] = value
    written(path, contents)
    return contents


def study(path: Path) -> dict[str, Any]:
    """The file's study, after validation."""
    contents = json.loads(path.read_text())
    jsonschema.validate(contents, schema.load())
    entry: dict[str, Any] = contents["studies"][NAME]
    return entry


def test_a_setting_that_holds_is_verified_with_other_prompts_and_noise(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[tuple[str, int]] = set()
    generate = Evaluation.generate

    def spied(self: Evaluation, call: Any, numbers: range, *options: Any) -> Any:
        used.update((prompt, self.seed) for prompt in self.texts(numbers))
        return generate(self, call, numbers, *options)

    monkeypatch.setattr(Evaluation, "generate", spied)
    assert main(["verify"]) == 0
    out = capsys.readouterr().out
    assert "holds: deepcache 2/0: " in out and "0.50× exported" in out
    entry = study(file)
    for point in (entry["best"], *entry["pareto"]):
        assert point["verified"]["num_samples"] >= 4
        assert point["feasible"]
        assert point["speedup"] == 0.5  # the figures of the search stay
    assert not {prompt for prompt, _ in used} & set(prompt_set("miniature").load(16))
    assert not {seed for _, seed in used} & {42, 43}  # of the search, and of its own verification
    assert list(file.parent.iterdir()) == [file]  # no database, no temporary file


def test_more_prompts_than_asked_for_are_explained_and_can_be_forbidden(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = study(file)["goal"]
    changed(file, goal=goal | {"limits": {"ssim": 0.0001}})
    assert main(["verify", "--num-samples", "4", "--max-samples", "4"]) == 0
    assert " over 4 prompts; verdict: sure" in capsys.readouterr().out
    ssim = study(file)["best"]["verified"]["fidelity"]["ssim"]["value"]
    changed(file, goal=goal | {"limits": {"ssim": ssim - 1e-6}})  # which is within the interval
    with timed_by_work():
        main(["verify", "--num-samples", "4", "--max-samples", "8"])
    assert " over 8 prompts (4 were too few to be sure); verdict: " in capsys.readouterr().out


def test_a_best_setting_that_misses_a_limit_is_no_longer_the_best(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {**study(file)["goal"], "limits": {"ssim": 0.99999}}
    changed(file, goal=goal)
    assert main(["verify", str(file)]) == 1
    captured = capsys.readouterr()
    assert "no longer holds (misses the limit of ssim): deepcache 2/0" in captured.out
    assert captured.err == f"tuner: the best setting of {NAME} no longer holds\n"
    entry = study(file)
    assert entry["best"] is None
    assert entry["by_combination"] == {}
    assert [point["feasible"] for point in entry["pareto"]] == [False]
    assert main(["verify", str(file)]) == 1
    assert f"{NAME} has no feasible setting" in capsys.readouterr().err


def test_a_best_setting_that_is_slower_does_not_hold_but_stays_feasible(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = study(file)
    for point in all_points(entry):
        point |= {"speedup": 99.0, "speedup_ci": [98.0, 100.0]}
    changed(file, **entry)
    assert main(["verify", str(file), "--best"]) == 1
    assert (
        "no longer holds (clearly slower than exported): deepcache 2/0" in capsys.readouterr().out
    )
    assert study(file)["best"]["feasible"]


def test_a_picked_setting_stays_picked_and_is_verified_although_it_was_not_feasible(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = study(file)["best"] | {"feasible": False}
    picked = {"rule": "trial 1", "point": point}
    changed(file, picked=picked, best=None, by_combination={}, pareto=[point])
    assert main(["verify", "--best", str(file)]) == 0
    assert "holds: deepcache 2/0: " in capsys.readouterr().out
    entry = study(file)
    assert entry["picked"]["point"]["verified"]["num_samples"] >= 4
    assert entry["picked"]["rule"] == "trial 1"
    assert entry["best"]["feasible"]


def test_a_verification_on_another_machine_has_the_latency_of_that_machine(file: Path) -> None:
    exported_s = 1000.0  # no machine takes so long
    baseline = study(file)["baseline"]
    changed(file, baseline=baseline | {"latency_s": exported_s})
    assert main(["verify", str(file)]) == 0
    verified = study(file)["best"]["verified"]
    assert verified["latency_s"] == pytest.approx(exported_s / verified["speedup"])
    assert "timed_elsewhere" not in verified

    changed(file, baseline=baseline | {"latency_s": exported_s, "latency_key": "another machine"})
    assert main(["verify", str(file)]) == 0
    verified = study(file)["best"]["verified"]
    assert verified["latency_s"] < 100
    assert verified["timed_elsewhere"]


def test_a_setting_with_black_pictures_does_not_hold(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate_one = Evaluation.generate_with

    def black(self: Evaluation, setting: Setting, *numbers: Any, **where: Any) -> Any:
        images, seconds = generate_one(self, setting, *numbers, **where)
        return (images * 0 if setting.accelerators else images), seconds

    monkeypatch.setattr(Evaluation, "generate_with", black)
    assert main(["verify", str(file)]) == 1
    captured = capsys.readouterr()
    assert "no longer holds: deepcache 2/0: " in captured.out and "black" in captured.out
    assert captured.err == f"tuner: the best setting of {NAME} no longer holds\n"
    assert study(file)["best"] is None


def test_other_weights_are_refused_before_any_measurement(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(file, evaluation=study(file)["evaluation"] | {"weights": "others"})
    before = file.read_text()
    monkeypatch.setattr(Evaluation, "generate", None)
    assert main(["verify", str(file)]) == 2
    assert "have the fingerprint others, but the loaded ones have" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "nothing.json")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_an_unknown_scorer_device_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()
    assert main(["verify", str(file), "--scorer-device", "cuda:99"]) == 2
    assert "unknown scorer_device 'cuda:99'; available: " in capsys.readouterr().err
    assert file.read_text() == before


def point(speedup: float, verified: float | None = None, feasible: bool = True) -> dict[str, Any]:
    """What the choice of the best setting reads of a point."""
    again = None if verified is None else {"speedup": verified, "latency_s": 1 / verified}
    return {
        "params": {"deepcache": {"cache_interval": round(100 * speedup)}},
        "speedup": speedup,
        "latency_s": 1 / speedup,
        "feasible": feasible,
        "verified": again,
    }


@pytest.mark.parametrize(
    ("target", "points", "best"),
    [
        (None, [point(2.0, verified=2.0), point(2.03)], 0),
        (None, [point(2.0, verified=2.0), point(2.05)], 1),
        (None, [point(2.0, verified=2.0, feasible=False), point(2.03)], 1),
        (1.9, [point(2.0, verified=2.0), point(2.05, verified=1.6)], 0),
        (3.0, [point(2.0), point(2.5)], 1),
    ],
)
def test_the_best_setting_of_a_file_is_chosen_as_a_search_chooses_its_answer(
    target: float | None, points: list[dict[str, Any]], best: int
) -> None:
    goal = {"req_speedup": target, "req_time": None}
    entry = {"best": None, "by_combination": {}, "pareto": points, "goal": goal}
    first = points[0]
    set_verdict(entry, [first], feasible=first["feasible"], verified=first["verified"])
    assert entry["best"] is points[best]
