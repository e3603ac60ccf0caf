"""Several workers on one study in simulated time."""

from dataclasses import replace

import pytest

from bench.fleet.quality import Crew
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import TruthTable
from bench.search.searches import frontier


@pytest.fixture(scope="module")
def truth() -> TruthTable:
    product = next(product for product in PRODUCTS if product.file.stem == "deepcache-DDIM-20")
    return TruthTable.of(replace(product, guidance=7.5))


def test_one_worker_does_what_the_simulated_searches_of_one_run_do(truth: TruthTable) -> None:
    search = frontier(truth, 3, 10, "max", whole=True)
    crew = Crew(truth, 3, "max", 1, 10)
    assert [row for row in crew.ended if row is not None] == search.evaluated
    assert len(crew.ended) == 10
    assert crew.clock.now == pytest.approx(search.costs.total - crew.before)


def test_several_workers_take_less_time_and_measure_no_setting_twice(truth: TruthTable) -> None:
    alone, crew = (Crew(truth, 0, "max", workers, 12) for workers in (1, 4))
    assert crew.clock.now < alone.clock.now / 2
    assert len(set(crew.measured)) == len(crew.measured) >= 12
    assert len(crew.ended) >= 12
