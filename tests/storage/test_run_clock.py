"""The timeout that all workers of a run share."""

from datetime import datetime, timedelta
from pathlib import Path

from tests.helpers.simulated import Bench
from tuner.shared_run import SharedRun
from tuner.storage.run_clock import BEGAN, begun_s
from tuner.storage.trial_log import storage_of


def test_a_worker_that_joins_later_has_what_is_left_of_the_timeout(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert begun_s(bench.study, "monday") == 0.0
    storage = storage_of(bench.study)
    began = storage.get_study_system_attrs(bench.study._study_id)[BEGAN]
    earlier = datetime.fromisoformat(began["at"]) - timedelta(seconds=40)
    storage.set_study_system_attr(bench.study._study_id, BEGAN, began | {"at": earlier.isoformat()})
    left = SharedRun(name="monday").deadline(bench.study, 100).left
    assert left is not None
    assert 50 < left <= 60
    assert SharedRun(name="monday").deadline(bench.study, 30).passed


def test_another_run_has_a_timeout_of_its_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    begun_s(bench.study, "monday")
    assert begun_s(bench.study, "tuesday") == 0.0
    left = SharedRun().deadline(bench.study, 100).left
    assert left is not None
    assert left > 99
    assert SharedRun(name="monday").deadline(bench.study, None).left is None
