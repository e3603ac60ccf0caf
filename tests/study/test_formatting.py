"""Quantities are declared once, and shown wherever figures are."""

from dataclasses import fields, replace
from io import StringIO
from math import inf
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.stored import searched
from tests.helpers.simulated import Bench
from tests.report.studies import page_of
from tests.study.test_results import make
from tuner import describe
from tuner.cli.tables import front_table
from tuner.cli.trial_page import TrialPage
from tuner.dashboard.looks import baseline_trial, shown_trials
from tuner.limits import Limits
from tuner.measure.device import PeakMemory
from tuner.measure.figures import Figures
from tuner.measure.statistics import Estimate
from tuner.report.conditions import conditions
from tuner.report.content import read_content
from tuner.report.csv_tables import tables
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.study import formatting
from tuner.study.formatting import QUANTITIES, Quantity, known_quantities
from tuner.study.results import Result, read_results

LIMITS = Limits(score_loss=0.02)
GOAL = Goal(limits=LIMITS)
RESULT: Result = make(3, Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}), 2.0, 0.005)
# Figures that every result has or that have places of their own: speed, quality and remarks.
ELSEWHERE = {
    "prompts", "speedup", "score_loss", "score", "speedup_from", "denoising", "fidelity",
    "unsteady", "latency_key",
}  # fmt: skip


def energy(figures: Figures) -> Estimate:
    """Stands for a new figure: any number that results have."""
    return Estimate(value=100 * figures.speedup.value, low=10.0, high=1000.0)


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> tuple[Quantity, ...]:
    """Two more quantities, with and without an interval, as someone would declare them."""
    more = (
        Quantity(key="energy_j", title="energy", unit="J", of=energy, digits=1),
        Quantity(key="heat_k", title="heat", unit="K", of=lambda f: f.score, explanation="at most"),
    )
    monkeypatch.setattr(formatting, "QUANTITIES", (*QUANTITIES, *more))
    return more


def test_every_figure_that_has_no_place_of_its_own_is_a_quantity() -> None:
    values = {"memory": PeakMemory(device=1.0, host=2.0)}
    for field in fields(Figures):
        if field.name not in ELSEWHERE:
            measured = replace(RESULT, **{field.name: values.get(field.name, 1.5)})
            assert known_quantities([measured]), f"{field.name} is shown nowhere"


def test_a_quantity_is_written_with_its_unit_and_its_interval() -> None:
    quantity = Quantity(key="energy_j", title="energy", unit="J", of=energy, digits=1)
    assert quantity.text(RESULT) == "200.0 J (10.0 … 1000.0 J)"
    assert quantity.text_of(12.34) == "12.3 J"
    assert quantity.text_of(Estimate(value=1.0, low=-inf, high=inf)) == "1.0 J"
    assert QUANTITIES[0].text(RESULT) == ""


def test_quantities_are_known_where_a_result_has_them() -> None:
    assert known_quantities([RESULT]) == []
    measured = replace(RESULT, memory=PeakMemory(host=2.5))
    assert [q.title for q in known_quantities([RESULT, measured])] == ["host memory"]


@pytest.fixture
def bench(more: object, tmp_path: Path) -> Bench:
    """A searched study whose results and baseline have these quantities."""
    bench = searched(tmp_path)
    baseline = bench.study.user_attrs["baseline"]
    bench.study.set_user_attr("baseline", baseline | {"energy_j": 300.0})
    return bench


def in_words(result: Result) -> tuple[str, str]:
    """The energy and the heat of a result."""
    return f"{energy(result).value:.1f} J (10.0 … 1000.0 J)", f"{result.score:.2f} K"


def test_a_new_quantity_is_in_the_table_of_the_front_and_on_the_page_of_a_trial(
    bench: Bench,
) -> None:
    results = read_results(bench.study)
    console = Console(width=300, file=StringIO(), record=True)
    console.print(front_table(results, LIMITS, "front"))
    printed = console.export_text()
    assert " energy " in printed and " heat " in printed
    assert all(text in printed for result in results for text in in_words(result))
    page = dict(TrialPage.of(bench.study, results[-1].trial, bench.storage).rows())
    whole, heat = in_words(results[-1])
    assert (page["energy"], page["heat"]) == (whole, f"{heat} at most")


def test_a_new_quantity_is_in_the_dashboard_and_in_the_note(bench: Bench) -> None:
    result = read_results(bench.study)[-1]
    whole, heat = in_words(result)
    assert f"energy {whole}, heat {heat}." in " ".join(describe.trial(result, GOAL, 1.0))
    trials = bench.study.get_trials(deepcopy=False)
    (study,) = bench.storage.optuna.get_all_studies()
    shown = shown_trials(study, trials)[result.trial].attributes
    assert shown["energy (95%)"] == whole
    assert shown["heat, K"] == round(result.score, 2)
    baseline = baseline_trial(study, trials)
    assert baseline is not None and baseline.attributes["energy, J"] == 300


def test_a_new_quantity_is_in_the_report_and_its_csv_files(bench: Bench, tmp_path: Path) -> None:
    content = read_content(bench.study)
    result = content.front[-1]
    assert ("baseline energy", "300.0 J") in conditions(content)
    (row,) = [row for row in tables([content])["trials"] if row["trial"] == result.trial]
    assert (row["energy_j"], row["energy_j_low"]) == (energy(result).value, 10)
    assert row["heat_k"] == result.score
    baseline, *settings = page_of([bench.study], tmp_path).rows("trial", "setting")
    assert baseline[1] == "baseline" and "300.0 J" in baseline
    assert settings[-1][0] == str(result.trial)
    assert set(in_words(result)) <= set(settings[-1])
