"""The page of a report says what the database has, needs nothing else, and escapes every name."""

import re
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tests.helpers.simulated import Bench, measurement
from tests.report.studies import HOSTILE, TRIED, Page, finished, goal_of, page_of, verify
from tuner.errors import UsageError
from tuner.measure.statistics import Estimate
from tuner.report.tried import read_trials
from tuner.report.write import write_report
from tuner.storage.database import Storage
from tuner.study.best import fastest_feasible, pareto_front
from tuner.study.fewer_steps import fewer_steps_sentence
from tuner.study.recording import store_reference
from tuner.study.reference import read_reference
from tuner.study.results import Result, read_results

OLD = Path(__file__).parent.parent / "data" / "version-0.1" / "tuner.db"


def test_the_page_refers_to_nothing_outside_itself(page_of_sweep: Page) -> None:
    names = ("src", "href", "xlink:href", "srcset", "action", "data")
    addresses = [
        element.attributes[name]
        for element in page_of_sweep.elements
        for name in names
        if name in element.attributes
    ]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"@import|url\((?!#)", page_of_sweep.source)
    elements = {element.name for element in page_of_sweep.elements}
    assert not {"script", "link", "iframe", "object"} & elements


def test_every_reference_within_the_page_leads_to_one_element(page_of_sweep: Page) -> None:
    ids = [e.attributes["id"] for e in page_of_sweep.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page_of_sweep.source)
    assert {first or second for first, second in used} <= set(ids)


def test_the_front_is_that_of_the_database(page_of_one: Page, sweep: list[optuna.Study]) -> None:
    rows = page_of_one.rows("trial", "setting", "speedup", "95% interval", "latency")
    front = pareto_front(read_results(sweep[0]), goal_of(sweep[0]).limits)
    expected = [
        [str(r.trial), str(r.setting), f"{r.speedup.value:.2f}×", f"{r.latency_s:.3f} s"]
        for r in front
        if r.setting.accelerators
    ]
    assert len(expected) > 1
    assert rows[0][:3] == ["", "baseline", "1.00×"]
    assert [[*row[:3], row[4]] for row in rows[1:]] == expected


def test_the_trials_are_those_of_the_database(page_of_one: Page, sweep: list[optuna.Study]) -> None:
    trials = read_trials(sweep[0], sweep[0].user_attrs, goal_of(sweep[0]))
    rows = page_of_one.rows(*TRIED)
    assert [(int(row[0]), row[1], row[-1]) for row in rows] == [
        (trial.number, str(trial.setting), trial.outcome) for trial in trials
    ]


def test_the_best_of_each_combination_is_that_of_the_database(
    page_of_one: Page, sweep: list[optuna.Study]
) -> None:
    rows = page_of_one.rows("accelerators")
    groups: dict[str, list[Result]] = {}
    for result in read_results(sweep[0]):
        groups.setdefault(result.setting.combination.replace("+", " + "), []).append(result)
    assert {row[0]: int(row[1]) for row in rows} == {n: len(group) for n, group in groups.items()}
    for row in rows:
        best = fastest_feasible(groups[row[0]], goal_of(sweep[0]).limits)
        assert row[2] == ("none" if best is None else str(best.setting))


def test_the_cost_is_that_of_the_database(page_of_one: Page) -> None:
    rows = {row[0]: row[1:] for row in page_of_one.rows("purpose")}
    assert rows["baseline"] == ["2.0", "17%", "2"]
    assert rows["verification"] == ["10.0", "83%", "8"]
    assert rows["in all"] == ["12.0", "", "10"]
    assert (
        "6.0 times as long as the baseline takes for the 2 prompts of a trial" in page_of_one.text
    )


def test_an_unverified_best_setting_is_said_to_be_unverified(
    page_of_one: Page, sweep: list[optuna.Study]
) -> None:
    best = goal_of(sweep[0]).reached(read_results(sweep[0]))
    assert best is not None
    words = f"The fastest setting with score loss under 2% is {best.setting} (trial "
    assert words in page_of_one.text
    assert "Not verified: it was measured once" in page_of_one.text


def test_a_verified_best_setting_has_the_figures_of_both_measurements(
    study: optuna.Study, tmp_path: Path
) -> None:
    best = verify(study, loss=0.004)
    page = page_of([study], tmp_path)
    assert f"(trial {best.trial}): speedup {best.speedup.value:.2f}×" in page.text
    again = f"{best.speedup.value:.2f}×, loss 0.40%"
    assert f"Verified: a second measurement gave {again}" in page.text
    assert ", 64 prompts." in page.text


def test_the_plain_pipeline_with_fewer_steps_is_listed_and_compared(
    study: optuna.Study, tmp_path: Path
) -> None:
    best = goal_of(study).reached(read_results(study))
    assert best is not None
    fast = Estimate(value=9.0, low=8.9, high=9.1)
    row = replace(measurement(best.setting), speedup=fast, fidelity={}, same_pictures=False)
    store_reference(study, 5, row)
    page = page_of([study], tmp_path)
    rows = page.rows("trial", "setting", "speedup", "95% interval", "latency")
    expected = ["5 steps, no accelerator", "9.00×", "8.90 … 9.10", "0.111 s"]
    assert [row[1:5] for row in rows if row[0] == ""][1:] == [expected]
    sentence = fewer_steps_sentence(best, read_reference(study), 50)
    assert sentence is not None
    assert sentence[1:] in page.text


def test_a_winner_that_is_infeasible_when_verified_is_not_the_best_setting(
    study: optuna.Study, tmp_path: Path
) -> None:
    first = verify(study, loss=0.5)
    page = page_of([study], tmp_path)
    second = goal_of(study).reached(read_results(study))
    assert second is not None
    assert second.setting != first.setting
    assert f"is {second.setting} (trial {second.trial}): " in page.text
    (row,) = [row for row in page.rows(*TRIED) if row[0] == str(first.trial)]
    assert "over the limit in the verification" in row[-1]


def test_without_a_feasible_setting_the_closest_one_and_what_it_misses_are_named(
    page_of_sweep: Page, sweep: list[optuna.Study]
) -> None:
    text = page_of_sweep.all("article")[2].text
    closest = goal_of(sweep[2]).closest(read_results(sweep[2]))
    assert closest is not None
    assert "No setting has met the goal (score loss under 0.01%)" in text
    assert f"The closest is {closest.setting} (trial {closest.trial}): " in text
    assert "instead of under 0.01%" in text
    assert "No setting met the goal, so there is none to apply." in text


def test_names_and_paths_that_people_chose_are_text_on_the_page(page_of_sweep: Page) -> None:
    assert HOSTILE in page_of_sweep.source.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&#34;", '"'
    ).replace("&amp;", "&")
    assert not page_of_sweep.all("script")
    assert not page_of_sweep.all("img")
    assert [heading.text for heading in page_of_sweep.all("h1")].count(HOSTILE) == 1
    values = [element.text for element in page_of_sweep.all("dd")]
    assert values.count(HOSTILE) == 3  # weights, prompts and device


def test_a_sweep_compares_its_studies_and_leads_to_each(
    page_of_sweep: Page, sweep: list[optuna.Study]
) -> None:
    assert "2 of 3 studies have a setting that meets their goal" in page_of_sweep.text
    rows = page_of_sweep.rows("study", "best setting")
    assert [row[0] for row in rows] == [study.study_name for study in sweep]
    assert rows[2][1] == "no setting met the goal: score loss under 0.01%"
    links = [element.attributes["href"] for element in page_of_sweep.all("a")]
    sections = {f"#{e.attributes['id']}": e.text for e in page_of_sweep.all("article")}
    assert len(links) == 3
    assert all(row[0] in sections[link] for row, link in zip(rows, links, strict=True))


def test_a_study_whose_trials_have_not_begun_has_a_page(tmp_path: Path) -> None:
    page = page_of([finished(Bench(tmp_path))], tmp_path)
    assert "No trial is complete yet; the goal is score loss under 2%." in page.text
    assert "The front is empty" in page.text
    assert "The importance is computed from at least 8 settings, and 0 were measured." in page.text


def test_the_database_of_an_old_version_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "tuner.db").write_bytes(OLD.read_bytes())
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}", create=False)
    study = storage.study(storage.study_names()[0])
    assert "a version of the tuner that did not record costs" in page_of([study], tmp_path).text


def test_a_page_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    study = finished(Bench(tmp_path))
    with pytest.raises(UsageError, match=r"cannot write .*: there is no folder .*nowhere"):
        write_report([study], tmp_path / "nowhere" / "report.html")
