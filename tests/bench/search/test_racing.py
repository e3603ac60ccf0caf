"""The simulated trials of `bench.search.racing` end where the tuner would stop them."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.search.racing import LIMIT, PROMPTS, RULES, Drawn, tables
from tuner.limits import Limits
from tuner.measure import statistics
from tuner.measure.statistics import Estimate
from tuner.search.runner.stopping import StoppingRule, measure_until_stopped


@pytest.mark.parametrize("batch", [1, 3, 4, 8])
def test_a_simulated_trial_is_stopped_where_the_tuner_stops_it(batch: int) -> None:
    rng = np.random.default_rng(batch)
    before = rng.normal(30, 3, (30, PROMPTS))
    after = before * (1 + 0.01 - 0.05 * rng.exponential(size=before.shape))
    rule = StoppingRule(limits=Limits(score_loss=LIMIT), samples=PROMPTS, stops_early=True)
    taken = []
    for old, new in zip(before, after, strict=True):
        batches = (
            SimpleNamespace(
                prompts=count,
                score_loss=statistics.score_loss(old[:count].tolist(), new[:count].tolist()),
                speedup=Estimate(value=2.0, low=1.9, high=2.1),
                fidelity={},
                timed=True,
            )
            for count in (*range(batch, PROMPTS, batch), PROMPTS)
        )
        taken.append(measure_until_stopped(batches, rule)[0].prompts)
    assert len(set(taken)) > 2
    assert RULES["now"].stopped_after(Drawn.of(before, after), batch).tolist() == taken


def test_every_committed_table_is_read() -> None:
    for name, near, bad in tables(draws=10, guidance=7.5):
        assert name
        for drawn in (*near, *([] if bad is None else [bad])):
            assert drawn.losses.shape[1] == PROMPTS
