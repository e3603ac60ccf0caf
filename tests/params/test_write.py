"""The exported `search_params.json` is valid and has the figures of the study."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from tests.helpers.simulated import Bench, measurement
from tests.study.test_results import LIMITS, results_with_ties
from tuner import registry
from tuner.cli.answer import answer
from tuner.cli.main import main
from tuner.errors import UsageError
from tuner.limits import Limits
from tuner.measure.evaluation import Measurement
from tuner.params import schema
from tuner.params import write as export
from tuner.search.goal import Goal
from tuner.search.runner.verify import verify
from tuner.setting import Setting
from tuner.study.baseline import OLD_KEY, keep_baseline
from tuner.study.best import fastest_feasible
from tuner.study.identity import request
from tuner.study.recording import store_verification
from tuner.study.results import Result, read_results
from tuner.study.verifications import Failure

SCHEMA = schema.load()

POINT = {"$ref": "#/$defs/point", "$defs": SCHEMA["$defs"]}


def searched(folder: Path, **changes: Any) -> Bench:
    """A searched study with all the attributes that a session stores."""
    bench = Bench(folder, **changes)
    bench.study.set_user_attr("request", request(bench.spec))
    bench.study.set_user_attr("pipeline", "StableDiffusionPipeline")
    bench.study.set_user_attr("versions", {"torch": "2"})
    baseline = {"latency_s": 1.0, "score": 30.0, "num_samples": 2}
    baseline |= {"memory_gib": None, "host_memory_gib": 1.5}
    bench.study.set_user_attr("baseline", baseline)
    bench.search()
    return bench


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document as another program reads it, after validation."""
    text = json.dumps(document, allow_nan=False)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(text), SCHEMA)
    document = json.loads(text)
    return document


def test_a_searched_study_validates_and_names_its_best(tmp_path: Path) -> None:
    bench = searched(tmp_path, trials=20, req_score_loss=0.03)
    study = checked(export.document([bench.study]))["studies"]["miniature/DDIM/50"]
    results = read_results(bench.study)
    best = fastest_feasible(results, Limits(score_loss=0.03))
    assert best is not None
    assert study["best"]["trial"] == best.trial
    assert study["best"]["feasible"]
    assert study["best"]["speedup_ci"][1] is None  # unbounded
    assert study["best"]["denoising"]["speedup"] == pytest.approx(best.speedup.value + 0.2)
    assert {point["certainty"] for point in study["pareto"]} == {"sure", "likely"}
    for point in study["pareto"]:
        unsteady = "the speedup is known to ±9% only" if point["speedup"] > 2 else None
        assert point.get("unsteady") == unsteady
    assert study["by_combination"][best.setting.combination]["trial"] == best.trial
    goal = {"req_score_loss": 0.03, "req_speedup": None, "req_time": None, "limits": {}}
    assert study["goal"] == goal
    speedups = [point["speedup"] for point in study["pareto"]]
    assert speedups == sorted(speedups)
    for name, point in study["by_combination"].items():
        assert "+".join(point["params"]) == name
        assert point["feasible"]
    for point in study["pareto"]:
        measured = measurement(Setting.of(point["params"]))
        assert point["speedup"] == measured.speedup.value
        assert point["score_loss"] == measured.score_loss.value
        assert point["feasible"] == (point["score_loss"] < 0.03)
        assert (point["memory_gib"], point["host_memory_gib"]) == (None, measured.memory.host)


def test_every_latency_in_the_file_is_the_baselines_over_the_speedup(tmp_path: Path) -> None:
    searched(tmp_path, trials=4, req_score_loss=0.5)
    seen: list[Setting] = []

    def moving(setting: Setting, trial: int = 0) -> Iterator[Measurement]:
        seen.append(setting)  # each trial runs on another machine
        baseline = {"baseline_s": 1.0 + len(seen), "baseline_denoising_s": 0.5 + len(seen)}
        yield replace(measurement(setting), latency_key="key", **baseline)  # type: ignore[arg-type]

    continued = Bench(tmp_path, trials=8, req_score_loss=0.5)
    continued.measure = moving  # type: ignore[method-assign]
    continued.search()
    searched_count = len(seen)
    assert searched_count > 1
    verify(
        continued.study,
        Goal.of(continued.spec),
        lambda result, rule: moving(result.setting),
        lambda _: None,
    )
    assert len(seen) > searched_count
    study = checked(export.document([continued.study]))["studies"]["miniature/DDIM/50"]
    baseline = study["baseline"]
    assert (baseline["latency_s"], baseline["denoising_s"]) == (1.0 + len(seen), 0.5 + len(seen))
    points = [study["best"], *study["by_combination"].values(), *study["pareto"]]
    verifications = [point["verified"] for point in points if point["verified"]]
    for figures in [*points, *verifications]:
        assert baseline["latency_s"] / figures["latency_s"] == pytest.approx(figures["speedup"])
        if "denoising" in figures:
            inner = figures["denoising"]
            assert baseline["denoising_s"] / inner["latency_s"] == pytest.approx(inner["speedup"])
    assert study["best"]["verified"]
    for point in study[
        "pareto"
    ]:  # the first four have no latency key, like trials of older versions
        assert "timed_elsewhere" not in point or point["trial"] < 4


def test_a_timing_on_another_machine_and_a_failed_verification_are_exported_as_such(
    tmp_path: Path,
) -> None:
    bench = searched(tmp_path, trials=4, req_score_loss=0.5)
    moved = replace(measurement(Setting()), latency_key="another machine")
    keep_baseline(bench.study, moved)
    bench.study.set_user_attr(OLD_KEY, "the one before")
    best = export.entry(bench.study)["best"]
    broke = Failure(reason="it broke")
    store_verification(bench.study, best["trial"], broke, Goal.of(bench.spec).limits)
    study = checked(export.document([bench.study]))["studies"]["miniature/DDIM/50"]
    (failed,) = (point for point in study["pareto"] if point["trial"] == best["trial"])
    assert (failed["failed_again"], failed["feasible"]) == ("it broke", False)
    assert all(point["timed_elsewhere"] for point in study["pareto"])
    assert study["best"]["trial"] != best["trial"]


def test_results_with_excluded_accelerators_are_not_exported(tmp_path: Path) -> None:
    bench = searched(tmp_path, trials=10, req_score_loss=0.5)
    whole = export.entry(bench.study)
    assert len(whole["by_combination"]) > 2
    last_request = bench.study.user_attrs["request"]
    bench.study.set_user_attr("request", last_request | {"search_targets": ["deepcache"]})
    narrow = checked(export.document([bench.study]))["studies"]["miniature/DDIM/50"]
    assert set(narrow["by_combination"]) == {"deepcache"}
    for point in (narrow["best"], *narrow["pareto"]):
        assert set(point["params"]) == {"deepcache"}
    (line,) = answer(bench.study, Goal.of_request(bench.study.user_attrs["request"]))
    assert str(Setting.of(narrow["best"]["params"])) in line


def test_best_is_null_where_nothing_is_feasible(tmp_path: Path) -> None:
    bench = searched(tmp_path, trials=8, req_score_loss=0.001)
    study = checked(export.document([bench.study]))["studies"]["miniature/DDIM/50"]
    assert study["best"] is None
    assert study["by_combination"] == {}
    assert study["pareto"]


def test_a_changed_limit_changes_the_export(tmp_path: Path) -> None:
    strict = export.entry(searched(tmp_path, trials=12, req_score_loss=0.012).study)
    continued = searched(tmp_path, trials=12, req_score_loss=0.04)
    assert continued.measured == []
    loose = export.entry(continued.study)
    assert loose["best"]["speedup"] > (strict["best"] or {"speedup": 0})["speedup"]
    assert [point["trial"] for point in loose["pareto"]] == [
        point["trial"] for point in strict["pareto"]
    ]


@given(results_with_ties(), LIMITS)
@settings(max_examples=25)  # each has up to a dozen points
def test_every_point_can_be_read_back_as_its_setting(results: list[Result], limits: Limits) -> None:
    for result in results:
        point = json.loads(json.dumps(export.point(result, limits), allow_nan=False))
        jsonschema.validate(point, POINT)
        assert Setting.of(point["params"]) == result.setting
        assert point["feasible"] == result.feasible(limits)
        assert (point["speedup"], point["score_loss"]) == (
            result.speedup.value,
            result.score_loss.value,
        )


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"studies": []},
        {"more": 1},
    ],
    ids=str,
)
def test_the_schema_refuses_other_documents(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1, "studies": {}} | change, SCHEMA)


def test_limits_of_extra_metrics_and_their_figures_are_exported(tmp_path: Path) -> None:
    limits = {"lpips": 0.15, "ssim": 0.5}
    bench = searched(tmp_path, trials=20, req_score_loss=0.03, limits=limits)
    study = checked(export.document([bench.study]))["studies"]["miniature/DDIM/50"]
    assert study["goal"]["limits"] == limits
    assert study["best"]["fidelity"]["lpips"]["value"] < 0.15
    verdicts = set()
    for point in study["pareto"]:
        loss, lpips = point["score_loss"], point["fidelity"]["lpips"]
        assert lpips["value"] == loss * 10
        assert lpips["ci"] == [loss * 9, loss * 11]
        assert point["feasible"] == (loss < 0.015)
        verdicts.add(point["feasible"])
    assert verdicts == {True, False}


def test_the_schema_refuses_a_point_that_lacks_a_required_key(tmp_path: Path) -> None:
    study = searched(tmp_path, trials=4, req_score_loss=0.5).study
    whole = export.document([study])
    for missing in set(whole["studies"][study.study_name]["best"]) - {
        "denoising",
        "speedup_from",
        "unsteady",
    }:
        document = json.loads(json.dumps(whole))
        del document["studies"][study.study_name]["best"][missing]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, SCHEMA)


def test_a_study_without_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no baseline yet"):
        export.document([Bench(tmp_path).study])


def test_a_study_without_a_baseline_is_left_out_unless_it_is_named_or_the_only_one(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    unfinished = Bench(tmp_path, steps=20).study.study_name
    assert main(["export"]) == 2
    assert "'miniature/DDIM/20' has no baseline yet" in capsys.readouterr().err
    whole = searched(tmp_path, trials=1).study.study_name
    assert main(["export"]) == 0
    printed = capsys.readouterr().out
    assert "left out: the study 'miniature/DDIM/20' has no baseline yet" in printed
    file = tmp_path / "search_params.json"
    assert list(json.loads(file.read_text())["studies"]) == [whole]
    assert main(["export", "--study", whole]) == 0
    assert "left out" not in capsys.readouterr().out
    assert main(["export", "--study", whole, "--study", unfinished]) == 2
    assert "'miniature/DDIM/20' has no baseline yet" in capsys.readouterr().err


def test_knob_names_are_those_of_the_accelerators(tmp_path: Path) -> None:
    bench = searched(tmp_path, trials=10, req_score_loss=0.5)
    for point in export.entry(bench.study)["by_combination"].values():
        for name, values in point["params"].items():
            knobs = registry.get("accelerators", name).knobs()
            assert list(values) == [knob.name for knob in knobs]
