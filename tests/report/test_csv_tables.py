"""The numbers of a report as CSV files."""

import csv
import io

import optuna
import pytest
from optuna.trial import TrialState

from tests.report.studies import goal_of
from tuner.report.content import read_content
from tuner.report.csv_tables import csv_text, tables
from tuner.study.best import pareto_front
from tuner.study.results import read_results


def written(study: optuna.Study, name: str) -> list[dict[str, str]]:
    """A table after it was written as CSV and read again."""
    text = csv_text(tables([read_content(study)])[name])
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_table_of_trials_has_the_figures_and_knobs_of_each(
    study: optuna.Study,
) -> None:
    rows = {int(row["trial"]): row for row in written(study, "trials")}
    front = {r.trial for r in pareto_front(read_results(study), goal_of(study).limits)}
    assert {number for number, row in rows.items() if row["on_front"] == "True"} == front
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        row, stored = rows[trial.number], trial.user_attrs
        assert row["study"] == study.study_name
        assert float(row["speedup"]) == pytest.approx(stored["speedup"])
        assert float(row["score_loss_low"]) == pytest.approx(stored["score_loss_ci"][0])
        assert row["speedup_high"] == ""  # which is infinite in these trials
        knobs = {
            f"{accelerator}.{knob}": value
            for accelerator, values in stored["setting"].items()
            for knob, value in values.items()
        }
        written_knobs = {name: float(v) for name, v in row.items() if "." in name and v}
        assert written_knobs == pytest.approx(knobs)


def test_the_other_tables_name_the_best_setting_and_the_costs(
    study: optuna.Study,
) -> None:
    best = goal_of(study).reached(read_results(study))
    assert best is not None
    (row,) = written(study, "studies")
    assert (row["best"], row["verified"], row["cost_s"]) == (str(best.setting), "False", "12.0")
    combinations = {row["combination"]: row for row in written(study, "combinations")}
    assert combinations[best.setting.combination]["best"] == str(best.setting)
    costs = {row["purpose"]: row["seconds"] for row in written(study, "costs")}
    assert costs == {"baseline": "2.0", "verification": "10.0"}
    assert sum(float(row["speedup"]) for row in written(study, "importance")) == (pytest.approx(1))
