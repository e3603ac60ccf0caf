"""Simulated searches on the committed truth table of DeepCache, by the tuner's own runner."""

from dataclasses import replace

import numpy as np
import pytest

from bench.lib.table_costs import PROMPTS
from bench.lib.table_search import TableSearch
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import LIMIT, TruthTable, area
from bench.search.searches import frontier, old_order


@pytest.fixture(scope="module")
def truth() -> TruthTable:
    product = next(product for product in PRODUCTS if product.file.stem == "deepcache-DDIM-20")
    return TruthTable.of(replace(product, guidance=7.5))


def test_the_best_is_the_fastest_whose_whole_interval_is_under_the_limit(truth: TruthTable) -> None:
    assert 0 < truth.feasible.sum() < len(truth.table.settings)
    assert (truth.table.losses[truth.feasible] < LIMIT).all()
    assert truth.best == truth.speedups[truth.feasible].max() > 1.5


@pytest.mark.parametrize("unsure_counts", [False, True])
def test_a_search_arrives_at_a_fast_setting_whose_interval_or_loss_is_under_the_limit(
    truth: TruthTable, unsure_counts: bool
) -> None:
    here = replace(truth, unsure_counts=unsure_counts)
    fast = here.speedups >= 0.99 * here.best
    kept = here.table.losses < LIMIT if unsure_counts else here.feasible
    arrived = set()
    for row in range(len(here.table.settings)):
        search = TableSearch(here, 0)
        search.evaluate(row)
        arrived |= {row} if search.arrived else set()
    assert arrived == set(np.flatnonzero(fast & kept))
    assert (fast & ~kept).any() and (kept & ~fast).any()


def test_a_search_arrives_and_measures_no_setting_twice(truth: TruthTable) -> None:
    search = frontier(truth, 0, 200, "max", whole=True, resolves=True)
    assert search.arrived is not None
    assert search.trials >= 16  # those that resolve an inconclusive setting come on top
    results = search.results
    assert len({result.setting for result in results}) == len(results)
    best = search.verified()
    assert best is not None and best.verified is not None
    assert truth.table.losses[truth.row[best.setting]] < LIMIT


def test_our_trials_are_stopped_early_and_those_of_other_samplers_are_not(
    truth: TruthTable,
) -> None:
    worst = int(np.argmax(truth.table.losses))
    ours, others = TableSearch(truth, 0), TableSearch(truth, 0)
    assert ours.is_stopped_early(worst) and ours.prompts < PROMPTS
    assert others.evaluate(worst).prompts == others.prompts == PROMPTS


def test_the_old_order_skips_settings_with_no_knob_more_aggressive(truth: TruthTable) -> None:
    walk = old_order(truth, 0, 200, "max", whole=True)
    assert 1 < walk.trials < 16


def test_the_area_is_that_of_the_stairs_under_the_limit() -> None:
    assert area([]) == 0
    assert area([(2.0, 0.0)]) == pytest.approx(LIMIT)
    assert area([(2.0, 0.0), (3.0, LIMIT / 2), (1.5, 0.015)]) == pytest.approx(1.5 * LIMIT)
    assert area([(2.0, LIMIT)]) == 0
