"""What a user chooses from."""

from pathlib import Path

from tests.helpers.simulated import Bench
from tuner.limits import Limits
from tuner.study.offered import offered
from tuner.study.results import read_results


def test_the_best_of_each_combination_follows_the_front(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_targets=("deepcache", "tome"), trials=20, req_score_loss=0.9)
    bench.search()
    limits = Limits(score_loss=0.02)
    results = read_results(bench.study)
    front = offered(results, limits, by_combination=False)
    assert [r.speedup.value for r in front] == sorted(
        (r.speedup.value for r in front), reverse=True
    )
    every = offered(results, limits, by_combination=True)
    assert every[: len(front)] == front
    for name in {r.setting.combination for r in results if r.setting.accelerators}:
        feasible = [r for r in results if r.setting.combination == name and r.feasible(limits)]
        if feasible:
            assert max(feasible, key=lambda r: r.speedup.value) in every
