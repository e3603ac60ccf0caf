"""`tuner dashboard`: what it shows of a study, of several, of old ones, and while a run writes."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from optuna.trial import TrialState

from bench.lib.dashboard import served
from tests.dashboard.dashboard import attributes, fetched, study_page
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import Bench
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.study.best import pareto_front
from tuner.study.results import read_results
from tuner.study.sheets import sheets_of

OLD = Path(__file__).parent.parent / "data" / "version-0.1" / "tuner.db"
FIRST = ["setting", "speedup (95%)", "score loss (95%)"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> PicturedBench:
    """A study of three trials that has run; no test changes it."""
    bench = PicturedBench(tmp_path_factory.mktemp("shown"), trials=3)
    bench.run()
    return bench


def test_the_baseline_is_a_point_at_1_and_0_that_is_in_no_study(bench: PicturedBench) -> None:
    with served(bench.storage) as address:
        baseline, *trials = study_page(address)["trials"]
    assert baseline["values"] == [1.0, 0.0] and baseline["state"] == "Complete"
    assert "not one of them" in baseline["note"]["body"]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    study = Storage(bench.storage.url).study(bench.study.study_name)
    assert len(study.trials) == len(read_results(study)) == 3


def test_what_people_read_first_comes_first_and_machine_data_is_not_shown(
    bench: PicturedBench,
) -> None:
    with served(bench.storage) as address:
        page = study_page(address)
    for trial in page["trials"]:
        shown = list(attributes(trial))
        assert shown[:3] == FIRST
        assert not {"scores", "ratios", "paired", "cost", "worker", "latency_key"} & set(shown)
    study = {entry["key"]: entry["value"] for entry in page["user_attrs"]}
    assert list(study)[:2] == ["goal", "baseline"]
    assert study["goal"] == "score loss under 2%"
    assert study["versions"] == "torch 2.15.0"


def test_a_front_trial_is_shown_with_its_note_and_its_sheet(bench: PicturedBench) -> None:
    goal = Goal.of(bench.spec)
    number = pareto_front(read_results(bench.study), goal.limits)[-1].trial
    with served(bench.storage) as address:
        trial = study_page(address)["trials"][number + 1]
        assert attributes(trial)["on the front"] == "yes"
        assert "On the Pareto front" in trial["note"]["body"]
        (artifact,) = trial["artifacts"]
        path = f"/artifacts/1/{trial['trial_id']}/{artifact['artifact_id']}"
        assert [fetched(address + path)] == sheets_of(bench.study).trials[number]


def test_the_baselines_sheet_is_shown_with_the_study_and_with_its_point(
    bench: PicturedBench,
) -> None:
    with served(bench.storage) as address:
        page = study_page(address)
        (artifact,) = page["artifacts"]
        assert page["trials"][0]["artifacts"] == [artifact]
        for owner in ("1", f"1/{page['trials'][0]['trial_id']}"):
            content = fetched(f"{address}/artifacts/{owner}/{artifact['artifact_id']}")
            assert [content] == sheets_of(bench.study).baseline


def test_several_studies_are_served_each_with_its_own_baseline_and_artifacts(
    tmp_path: Path,
) -> None:
    for sched in ("DDIM", "UniPC"):
        bench = PicturedBench(tmp_path, sched=sched, trials=1)
        bench.run()
        bench.pages.end()
    with served(bench.storage) as address:
        pages = [study_page(address, number) for number in (1, 2)]
        assert [page["name"] for page in pages] == ["miniature/DDIM/50", "miniature/UniPC/50"]
        ids = {page["trials"][0]["trial_id"] for page in pages}
        assert len(ids) == 2
        for number, page in enumerate(pages, 1):
            artifact = page["artifacts"][0]["artifact_id"]
            assert fetched(f"{address}/artifacts/{number}/{artifact}").startswith(b"\x89PNG")


def test_trials_of_a_run_that_writes_meanwhile_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = PicturedBench(tmp_path, trials=1)
    bench.run()
    with served(bench.storage) as address:
        monkeypatch.setattr("optuna_dashboard._storage.timedelta", lambda seconds: timedelta(0))
        assert study_page(address)["trials"][2]["state"] == "Waiting"
        trial = bench.study.ask()
        assert study_page(address)["trials"][2]["state"] == "Running"
        bench.study.tell(trial, state=TrialState.FAIL)
        states = [shown["state"] for shown in study_page(address)["trials"]]
        assert states == ["Complete", "Complete", "Fail", "Waiting"]


def test_a_database_of_version_0_1_is_shown_in_the_same_way(tmp_path: Path) -> None:
    shutil.copy(OLD, tmp_path / "tuner.db")
    with served(Storage(f"sqlite:///{tmp_path / 'tuner.db'}", create=False)) as address:
        baseline, *trials = study_page(address)["trials"]
    assert baseline["values"] == [1.0, 0.0]
    complete = [attributes(trial) for trial in trials if trial["state"] == "Complete"]
    assert complete and all(list(shown)[:4] == [*FIRST, "ssim (95%)"] for shown in complete)


def test_a_trial_whose_setting_was_measured_again_follows_the_later_trial(tmp_path: Path) -> None:
    bench = Bench(tmp_path, trials=1, search_targets=("deepcache",))
    (first,) = bench.search()
    again = bench.study.ask()
    for name, value in first.user_attrs.items():
        again.set_user_attr(name, value)
    again.set_user_attr("prompts", 4)
    bench.study.tell(again, first.values)
    with served(bench.storage) as address:
        shown = [attributes(trial) for trial in study_page(address)["trials"]]
    assert shown[0]["measured again in trial"] == str(again.number)
    assert "measured again in trial" not in shown[again.number]
