"""The events of `tuner run --json`: each line is valid, and nothing that happens is left out."""

import io
import json
from pathlib import Path

import pytest
from jsonschema import ValidationError

from tests.cli.event_schema import events_of, names, validator
from tests.cli.stored import BASELINE, KNOBS, NAME, with_baseline
from tests.helpers.simulated import Bench, batched_bench, measurement, over_the_limit
from tuner.cli.events import Events, JsonLines
from tuner.setting import Setting
from tuner.study.results import read_results

DEEPCACHE = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})


class Recorded:
    """The events of a simulated study."""

    def __init__(self, bench: Bench) -> None:
        self.stream = io.StringIO()
        self.bench = with_baseline(bench)
        self.events = Events(JsonLines(self.stream), bench.spec)

    def begun(self) -> "Recorded":
        """The study is open and has its baseline."""
        self.events.study_began(self.bench.study, lambda: 12.5)
        self.events.baseline_progress(1, 2)
        self.events.baseline_measured(BASELINE | {"memory_gib": None})
        return self

    def lines(self) -> list[dict[str, object]]:
        return events_of(self.stream.getvalue())


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    values = {"search_targets": ("deepcache",), "knobs": KNOBS, "sampler": "frontier"}
    return Recorded(Bench(tmp_path, trials=4, **values))  # type: ignore[arg-type]


def test_a_search_writes_its_study_its_baseline_each_trial_and_its_outcome(
    recorded: Recorded,
) -> None:
    recorded.begun()
    recorded.bench.search(observer=recorded.events)
    recorded.events.finished("reached", "fastest setting: deepcache 5/0")
    events = recorded.lines()
    trial = ["progress", "trial_started", "batch", "trial_finished"]
    begin = ["study_started", "baseline_batch", "baseline"]
    assert names(events) == [*begin, *trial * 3, "progress", "notice", "finished"]
    assert {event["study"] for event in events} == {NAME}
    assert [event["done"] for event in events if event["event"] == "progress"] == [0, 1, 2, 3]
    last = events[-1]
    assert (last["outcome"], last["cost_s"]) == ("reached", 12.5)
    assert last["best"]["params"] == {"deepcache": {"cache_interval": 5, "cache_branch_id": 0}}  # type: ignore[index]
    assert len(last["front"]) == 3  # type: ignore[arg-type]


def test_stopped_trials_give_their_reason(tmp_path: Path) -> None:
    knobs = {"deepcache": {"cache_interval": (5,), "cache_branch_id": (2, 3)}}
    bench = batched_bench(tmp_path, trials=2, req_score_loss=0.001, knobs=knobs)
    recorded = Recorded(bench).begun()
    bench.search(samples=32, stops_early=True, observer=recorded.events)
    pruned = [event for event in recorded.lines() if event["event"] == "trial_pruned"]
    assert len(pruned) == 2
    assert all("certain to miss a limit" in str(event["reason"]) for event in pruned)


def test_failed_trials_give_their_reason_and_the_study_goes_on(recorded: Recorded) -> None:
    recorded.bench.fails = lambda setting: RuntimeError("an illegal access")
    recorded.begun()
    recorded.bench.search(observer=recorded.events)
    failed = [event for event in recorded.lines() if event["event"] == "trial_failed"]
    assert len(failed) > 1
    assert {event["reason"] for event in failed} == {"an illegal access"}
    assert all("deepcache" in event["params"] for event in failed)  # type: ignore[operator]


def test_a_trial_of_the_same_computation_names_the_trial_whose_figures_it_took(
    recorded: Recorded,
) -> None:
    recorded.bench.search()
    recorded.begun()
    (result,) = (r for r in read_results(recorded.bench.study) if r.setting == DEEPCACHE)
    recorded.events.trial_ended(9, "same as trial 0", result, "")
    assert recorded.lines()[-1]["same_as"] == 0


@pytest.mark.parametrize("holds", [True, False])
def test_a_verification_says_whether_the_setting_holds(recorded: Recorded, holds: bool) -> None:
    recorded.begun()
    recorded.bench.search()
    study = recorded.bench.study
    (result,) = (r for r in read_results(study) if r.setting == DEEPCACHE)
    stored = study.trials[result.trial].user_attrs
    second = stored if holds else over_the_limit(stored)
    study.set_user_attr("verified", {str(result.trial): [second]})
    recorded.events.resolve_began(result)
    recorded.events.timing_began(DEEPCACHE)
    recorded.events.verification_began(DEEPCACHE)
    recorded.events.verification_went_on(DEEPCACHE, measurement(DEEPCACHE))
    recorded.events.verified(next(r for r in read_results(study) if r.trial == result.trial))
    events = recorded.lines()[3:]
    measured = ["verification_started", "verification_batch", "verification"]
    assert names(events) == ["resolve", "timing", *measured]
    assert events[-1]["holds"] is holds
    assert events[-1]["reason"] is None


def test_a_failed_verification_gives_its_reason(recorded: Recorded) -> None:
    recorded.begun()
    recorded.bench.search()
    study = recorded.bench.study
    study.set_user_attr("verified", {"0": [{"failed": "the pictures are black"}]})
    recorded.events.verified(next(r for r in read_results(study) if r.trial == 0))
    event = recorded.lines()[-1]
    assert (event["holds"], event["figures"]) == (False, None)
    assert event["reason"] == "the pictures are black"


def test_a_run_that_ends_before_its_study_is_open_has_a_last_event_too(recorded: Recorded) -> None:
    recorded.events.notice("waiting for cpu: process 1 is measuring on it")
    recorded.events.finished("failed", "unknown device 'cuda'")
    assert names(recorded.lines()) == ["notice", "finished"]


def test_a_reader_that_has_gone_does_not_end_the_search(recorded: Recorded) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    events = Events(JsonLines(Closed()), recorded.bench.spec)
    trials = recorded.bench.search(observer=events)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3


def test_the_schema_refuses_unknown_events_and_keys() -> None:
    event = {"event": "notice", "time": "2026-01-01T00:00:00+00:00", "study": NAME, "text": "x"}
    validator().validate(event)
    for wrong in ({"event": "noise"}, {"more": 1}, {"text": 3}):
        with pytest.raises(ValidationError):
            validator().validate(event | wrong)


def test_lines_are_json_without_infinite_numbers(recorded: Recorded) -> None:
    recorded.begun()
    recorded.bench.search(observer=recorded.events)  # upper ends of simulated speedups are infinite
    (line, *_) = (line for line in recorded.stream.getvalue().splitlines() if '"batch"' in line)
    assert json.loads(line)["speedup_ci"][1] is None
