"""Replays on the committed table of DeepCache: no model runs, and the verdicts are the tuner's."""

from dataclasses import replace

import numpy as np
import pytest

from bench.lib.replay import LIMIT, PROMPTS, TableSearch, TruthTable, area
from bench.lib.tables import PRODUCTS
from bench.search.searches import frontier, old_order


@pytest.fixture(scope="module")
def truth() -> TruthTable:
    wanted = next(one for one in PRODUCTS if one.file.stem == "deepcache-DDIM-20")
    return TruthTable.of(replace(wanted, guidance=7.5))


def test_the_best_is_the_fastest_whose_whole_interval_is_under_the_limit(truth: TruthTable) -> None:
    assert 0 < truth.feasible.sum() < len(truth.table.settings)
    assert (truth.table.losses[truth.feasible] < LIMIT).all()
    assert truth.best == truth.speedups[truth.feasible].max() > 1.5


def test_a_search_arrives_and_measures_no_setting_twice(truth: TruthTable) -> None:
    replay = frontier(truth, 0, 200, "max", whole=True)
    assert replay.arrived is not None
    assert replay.trials == len(replay.results) + len(replay.stopped) == 16
    assert len({one.setting for one in replay.results}) == len(replay.results)
    found = replay.verified()
    assert found is not None and found.verified is not None
    assert truth.table.losses[truth.row[found.setting]] < LIMIT


def test_only_races_stop_a_hopeless_setting_early(truth: TruthTable) -> None:
    worst = int(np.argmax(truth.table.losses))
    racing, patient = TableSearch(truth, 0, races=True), TableSearch(truth, 0, races=False)
    assert racing.run(worst)["stopped"] and racing.prompts < PROMPTS
    assert not patient.run(worst)["stopped"] and patient.prompts == PROMPTS


def test_the_old_order_leaves_out_what_is_bolder_in_nothing(truth: TruthTable) -> None:
    replay = old_order(truth, 0, 200, "max", whole=True)
    assert 1 < replay.trials < 16


def test_the_area_is_that_of_the_stairs_under_the_limit() -> None:
    assert area([]) == 0
    assert area([(2.0, 0.0)]) == pytest.approx(LIMIT)
    assert area([(2.0, 0.0), (3.0, LIMIT / 2), (1.5, 0.015)]) == pytest.approx(1.5 * LIMIT)
    assert area([(2.0, LIMIT)]) == 0
