"""A study that begins with the verification of what other studies have found."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.runs.study import Count, finished, rows, run_until_signal, spec
from tuner.measure.account import Purpose
from tuner.measure.statistics import Estimate
from tuner.outcome import Outcome
from tuner.params.write import document
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.study.costs import read_costs

NAME = "miniature/UniPC/4"
Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, session: Session) -> Run:
    """Run a study of DeepCache in a database that has one with another scheduler."""

    def run(observer: Count | None = None, **changes: Any) -> Outcome:
        values = {"sampler": "frontier", "search_targets": ("deepcache",), "sched": "UniPC"}
        return session.run(spec(tmp_path, **values | changes), observer or Count())

    run(sched="DDIM", trials=5)
    return run


def study(folder: Path) -> optuna.Study:
    return Storage(f"sqlite:///{folder / 'tuner.db'}").study(NAME)


def baselines_of_prompts(folder: Path) -> int:
    """How many sets of prompts have a baseline; batches that are stored by themselves are none."""
    whole = "kind = 'scores' AND parts NOT LIKE '% from %'"
    return len(rows(folder, f"SELECT key FROM tuner_baselines WHERE {whole}"))


def test_a_likely_setting_is_verified_before_anything_else_is_measured(
    run: Run, tmp_path: Path, calls: list[range], session: Session
) -> None:
    before = baselines_of_prompts(tmp_path)
    calls.clear()
    best = run(req_speedup=1.05).best
    evaluation = session.evaluation(spec(tmp_path, sched="UniPC"))
    assert not evaluation.has_baseline(Storage(f"sqlite:///{tmp_path / 'tuner.db'}"))
    (trial,) = finished(tmp_path, NAME)
    assert best is not None
    assert best.trial == trial.number == 0
    assert best.speedup.value >= 1.05
    assert best.verified_now
    assert best.verified is not None
    assert best.verified.score_loss == best.score_loss
    assert baselines_of_prompts(tmp_path) == before + 1  # of the prompts for verifying alone
    # The baseline has a warm-up and a batch for its latency, the setting has a warm-up, and the
    # prompts are two pairs.
    assert len(calls) == 7
    costs = read_costs(study(tmp_path))
    # A trial's pictures are its own; the baseline's are the study's. None counts twice.
    assert sum(costs.trials[0].pictures.values()) == 2 * 5
    assert sum(costs.total.pictures.values()) == 2 * len(calls)
    (exported,) = document([study(tmp_path)])["studies"].values()
    (point,) = [point for point in exported["pareto"] if point["params"]]
    assert point["params"] == trial.user_attrs["setting"]
    assert point["verified"]["score_loss"] == point["score_loss"]


def test_the_same_command_again_measures_nothing(run: Run, calls: list[range]) -> None:
    run(req_speedup=1.05)
    calls.clear()
    assert run(req_speedup=1.05).best is not None
    assert calls == []


def test_where_it_does_not_hold_the_search_begins(run: Run, tmp_path: Path) -> None:
    class Disturbed(Count):
        """Other work disturbs the first trial."""

        def trial_went_on(self, number: int, measured: Any) -> None:
            if number == 0:
                object.__setattr__(measured, "score_loss", Estimate(value=2.0, low=1.9, high=2.1))

    before, observer = baselines_of_prompts(tmp_path), Disturbed()
    best = run(observer, req_speedup=1.05, trials=10).best
    first, *others = finished(tmp_path, NAME)
    assert first.user_attrs["score_loss"] == 2.0
    assert best is not None
    assert best.trial in {trial.number for trial in others}
    assert best.verified_now
    assert baselines_of_prompts(tmp_path) == before + 2
    assert not any("baseline" in line for line in observer.lines)  # nothing has changed


@pytest.mark.parametrize(
    "changes",
    [
        {"req_speedup": None},
        {"req_speedup": 1.05, "transfer": False},
        {"req_speedup": 1.05, "aim": "front"},
        {"req_speedup": 100},
    ],
    ids=["no target", "no transfer", "front", "not likely"],
)
def test_otherwise_a_trial_has_the_prompts_of_the_search(
    changes: dict[str, Any], run: Run, tmp_path: Path, session: Session
) -> None:
    run(trials=1, **changes)
    (trial,) = finished(tmp_path, NAME)
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}")
    evaluation = session.evaluation(spec(tmp_path, sched="UniPC"))
    assert evaluation.has_baseline(storage)
    verified = study(tmp_path).user_attrs.get("verified", {}).get("0", [])
    assert all(entry["score_loss"] != trial.user_attrs["score_loss"] for entry in verified)


def test_verifications_of_related_studies_have_other_noise(session: Session) -> None:
    seeds = set()
    for changes in ({}, {"sched": "UniPC"}, {"steps": 5}):
        asked = spec(Path(), **changes)
        for evaluation in (
            session.evaluation(asked),
            session.verification(asked, asked.steps or 0),
        ):
            seeds.add(evaluation.seed)
    assert len(seeds) == 4  # one for all searches, and one for each study's verifications


def test_a_first_verification_that_was_interrupted_is_made_again(
    run: Run, tmp_path: Path, calls: list[range]
) -> None:
    class Interrupted(Count):
        def trial_went_on(self, number: int, measured: Any) -> None:
            raise KeyboardInterrupt

    before = baselines_of_prompts(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), req_speedup=1.05)
    interrupted = read_costs(study(tmp_path)).total
    assert interrupted.pictures[Purpose.VERIFICATION] == 2 + 2  # of the baseline and the setting
    calls.clear()
    best = run(req_speedup=1.05).best
    # The setting's warm-up, its two batches, and the baseline's in pairs with them: one is missing,
    # and one is timed again.
    assert len(calls) == 5
    assert read_costs(study(tmp_path)).total.pictures[Purpose.VERIFICATION] == 4 + 2 + 4
    assert best is not None
    assert best.verified_now
    assert baselines_of_prompts(tmp_path) == before + 1
    assert [trial.state.name for trial in finished(tmp_path, NAME)].count("COMPLETE") == 1


def test_after_a_kill_it_is_made_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = baselines_of_prompts(tmp_path)
    flags = ["--sched", "UniPC", "--search-targets", "deepcache", "--sampler", "frontier"]
    killed = run_until_signal(signal.SIGKILL, 0, *flags, "--req-speedup", "1.05")
    assert killed == -signal.SIGKILL
    assert [trial.state.name for trial in study(tmp_path).trials] == ["RUNNING"]
    best = run(req_speedup=1.05).best
    assert best is not None
    assert best.verified_now
    assert baselines_of_prompts(tmp_path) == before + 1  # none of the prompts for searching


def test_one_setting_of_another_study_is_enough_to_begin_with(
    tmp_path: Path, session: Session
) -> None:
    def run(sched: str) -> Outcome:
        values = {"sampler": "frontier", "search_targets": ("deepcache",), "req_speedup": 1.05}
        return session.run(spec(tmp_path, sched=sched, **values), Count())

    assert run("DDIM").best is not None
    assert len(finished(tmp_path, "miniature/DDIM/4")) == 1
    before, best = baselines_of_prompts(tmp_path), run("UniPC").best
    assert best is not None
    assert best.verified_now
    assert baselines_of_prompts(tmp_path) == before + 1
