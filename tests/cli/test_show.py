"""`tuner show`: the list of studies, a front, a trial; also as JSON."""

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.cli.refused import Refused
from tests.cli.stored import NAME, searched, with_baseline, with_stopped_trials
from tests.helpers.pictured import PicturedBench
from tests.helpers.simulated import EVALUATION, Bench, over_the_limit
from tuner.cli.main import main
from tuner.storage.database_log import engine_of
from tuner.storage.living_storage import LivingStorage
from tuner.storage.trial_rows import set_user_attributes

OTHER = f"{NAME} guidance=5"

pytestmark = pytest.mark.usefixtures("folder")


class Shown:
    """Runs `tuner show` and returns what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> str:
        self.capsys.readouterr()
        assert main(["show", *arguments]) == 0
        return self.capsys.readouterr().out

    def rows(self, *arguments: str) -> dict[str, str]:
        """The lines of a trial's page: name -> text."""
        lines = self(*arguments).splitlines()[1:]
        named = [line for line in lines if line[:2].strip()]
        pairs = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in named)
        return {name: "".join(text) for name, *text in pairs}

    def json(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self(*arguments, "--json"))
        return document


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    return Shown(capsys)


def two_studies(folder: Path) -> None:
    """One that was searched, and one that has no baseline yet."""
    searched(folder)
    Bench(folder, EVALUATION | {"guidance": 5})


def test_with_one_study_its_front_is_shown_at_once(folder: Path, shown: Shown) -> None:
    searched(folder)
    text = shown()
    assert f"{NAME}: Pareto front" in text
    assert "fastest setting with score loss under 2%: deepcache 5/0, 1.50×" in text


def test_several_studies_are_listed_one_line_each(folder: Path, shown: Shown) -> None:
    two_studies(folder)
    lines = shown().splitlines()
    (first,) = (line for line in lines if f"│ {NAME} " in line and "guidance" not in line)
    assert "1.50×, loss 1.00%" in first
    assert "not yet" in first
    (second,) = (line for line in lines if OTHER in line)
    assert "no baseline yet" in second


def test_the_list_says_when_a_best_setting_is_verified(folder: Path, shown: Shown) -> None:
    bench = searched(folder)
    Bench(folder, EVALUATION | {"guidance": 5})
    best = max(bench.study.trials, key=lambda trial: trial.user_attrs["speedup"])
    bench.study.set_user_attr("verified", {str(best.number): [best.user_attrs]})
    (study, other) = shown.json()["studies"]
    assert (study["name"], study["trials"], study["verified"]) == (NAME, 3, True)
    assert study["best"]["trial"] == best.number
    assert study["last_change"] is not None
    assert (other["baseline"], other["best"], other["last_change"]) == (False, None, None)


def test_a_study_is_shown_by_its_name(folder: Path, shown: Shown) -> None:
    two_studies(folder)
    assert f"{NAME}: Pareto front" in shown(NAME)
    assert f"{NAME}: Pareto front" in shown("--study", NAME)


def test_a_front_as_json_has_the_form_of_the_export(folder: Path, shown: Shown) -> None:
    searched(folder)
    study = shown.json(NAME)["studies"][NAME]
    assert study["best"]["params"] == {"deepcache": {"cache_interval": 5, "cache_branch_id": 0}}
    assert len(study["pareto"]) == 3


def test_costs_as_json(folder: Path, shown: Shown) -> None:
    searched(folder)
    assert set(shown.json("--cost")["studies"][NAME]) == {
        "total",
        "baseline_s",
        "trials",
        "others",
    }


def test_a_trial_in_plain_words(folder: Path, shown: Shown) -> None:
    searched(folder)
    rows = shown.rows(NAME, "--trial", "0")
    assert rows["state"] == "complete"
    assert rows["setting"] == "deepcache 3/0"
    assert "deepcache: cache_interval 3, cache_branch_id 0" in shown(NAME, "--trial", "0")
    assert rows["speedup"] == "1.30× (1.20 … ?), 0.769 s per image instead of 1.000 s"
    assert rows["how timed"].endswith("; its interval is not known")
    assert rows["score loss"] == "0.60% (-0.40 … 1.60%) over 2 prompts; score 29.82"
    assert rows["ssim"] == "0.97 (0.964 … 0.976)"
    assert rows["verdict"] == "under the limit, sure"
    assert rows["on the front"] == "yes"
    assert rows["verification"] == "none: only settings that may be the best are verified"
    assert "pictures" not in rows
    assert rows["when"].startswith("20")


def test_a_trial_with_pictures_says_how_they_are_drawn(folder: Path, shown: Shown) -> None:
    PicturedBench(folder, trials=1).run()
    rows = shown.rows("miniature/DDIM/50", "--trial", "0")
    assert rows["pictures"] == "drawn by `tuner compare miniature/DDIM/50 --trials 0`"


@pytest.mark.parametrize("holds", [True, False])
def test_a_trial_says_whether_its_verification_holds(
    holds: bool, folder: Path, shown: Shown
) -> None:
    bench = searched(folder)
    stored = bench.study.trials[0].user_attrs
    second = stored if holds else over_the_limit(stored)
    bench.study.set_user_attr("verified", {"0": [second]})
    text = shown.rows(NAME, "--trial", "0")["verification"]
    gave = "a second measurement gave 1.30×"
    words = f"Verified: {gave}" if holds else f"It does not hold: {gave}, loss 50.00%"
    assert text.startswith(words)


def test_a_stopped_trial_says_what_stopped_it(folder: Path, shown: Shown) -> None:
    with_stopped_trials(folder)
    rows = shown.rows("--trial", "0")
    assert rows["state"] == "stopped early"
    assert "certain to miss a limit" in rows["reason"]
    assert rows["misses"].startswith("score loss 1.40% instead of under 0.1%")
    assert "verdict" not in rows


def test_a_failed_trial_says_why_with_its_traceback(folder: Path, shown: Shown) -> None:
    searched(folder)
    again = Bench(folder, search_targets=("deepcache",), sampler="random", trials=4)
    again.fails = lambda setting: RuntimeError("an illegal access [/tmp/x]")
    again.search()
    rows = shown.rows(NAME, "--trial", "3")
    assert rows["state"] == "failed"
    assert rows["reason"] == "an illegal access [/tmp/x]"
    assert rows["traceback"].startswith("Traceback")
    assert shown.json(NAME, "--trial", "3")["result"] is None


def test_a_trial_as_json(folder: Path, shown: Shown) -> None:
    searched(folder)
    trial = shown.json(NAME, "--trial", "0")
    assert (trial["study"], trial["trial"], trial["state"]) == (NAME, 0, "COMPLETE")
    assert trial["result"]["speedup"] == pytest.approx(1.3)
    assert trial["on_front"] is True


def test_an_unknown_trial_is_refused_with_the_numbers_that_there_are(
    folder: Path, shown: Shown, refused: Refused
) -> None:
    searched(folder)
    shown(NAME)  # opens the database once, so that the journal files exist
    assert refused("show", NAME, "--trial", "99").endswith("has no trial 99; its trials are 0 to 2")


def test_a_trial_of_several_studies_is_refused(
    folder: Path, shown: Shown, refused: Refused
) -> None:
    two_studies(folder)
    shown()
    assert "--trial needs one study" in refused("show", "--trial", "0")


def test_an_unknown_study_is_refused_with_names_that_are_near(
    folder: Path, shown: Shown, refused: Refused
) -> None:
    two_studies(folder)
    shown()
    assert f"did you mean {OTHER}?" in refused("show", "guidance")


@pytest.mark.parametrize("command", ["show", "export", "report"])
def test_however_many_studies_there_are_a_command_reads_their_list_once(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(folder)
    for guidance in (3, 5):
        with_baseline(Bench(folder, EVALUATION | {"guidance": guidance}))
    lists = []
    read = LivingStorage.get_all_studies

    def counted(storage: LivingStorage) -> Any:
        lists.append(storage)
        return read(storage)

    monkeypatch.setattr(LivingStorage, "get_all_studies", counted)
    assert main([command]) == 0
    assert len(lists) == 1


def damage_cost(study: optuna.Study, *, of_trial: bool) -> None:
    """Let a trial, or else a run, have taken for ever."""
    cost = {"seconds": {"scoring": float("inf")}}
    if not of_trial:
        study.set_user_attr("cost of run a", cost)
        return
    trial_id = study._storage.get_all_trials(study._study_id)[1]._trial_id
    with engine_of(study).begin() as connection:
        set_user_attributes(connection, trial_id, {"cost": cost})


@pytest.mark.parametrize("of_trial", [True, False])
def test_a_damaged_cost_is_refused_in_the_same_line_by_all_that_read_it(
    of_trial: bool, folder: Path, refused: Refused
) -> None:
    damage_cost(searched(folder).study, of_trial=of_trial)
    commands = ["show --cost", "show --cost --json", "report"]
    commands += ["show --trial 1"] if of_trial else []
    (line,) = {refused(*command.split()) for command in commands}
    whose = "the cost of trial 1" if of_trial else "'cost of run a'"
    assert line.startswith(
        f"tuner: {whose} of {NAME} is damaged, or was changed by another program"
    )
    assert "seconds of 'scoring' must be a number" in line
