"""How much of the time a GPU computes."""

from typing import Any

import pytest

from tuner.measure import gpu_use
from tuner.measure.baseline_store import BaselineLatency
from tuner.measure.gpu_use import GpuUse, utilisation, waiting_notice
from tuner.measure.stopwatch import Seconds


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(gpu_use, "time", made)
    return made


def test_samples_of_before_the_batch_do_not_count(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.5, 0.7])
    monkeypatch.setattr(gpu_use, "utilisation", lambda device: next(shares))
    use = GpuUse("cuda:0")
    use.sample()
    assert use.share is None
    clock.now = 0.6
    use.sample()
    use.sample()  # at once: the driver has nothing new to say
    assert use.share == 0.5
    clock.now = 0.9
    use.sample()
    assert use.share == pytest.approx(0.6)


def test_nothing_is_sampled_on_a_cpu(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(gpu_use, "utilisation", fail)
    use = GpuUse("cpu")
    clock.now = 10.0
    use.sample()
    assert use.share is None


def test_a_gpu_whose_driver_does_not_answer_has_no_utilisation() -> None:
    assert utilisation("cuda:77") is None


def test_one_line_says_that_the_gpu_waits_for_python() -> None:
    line = waiting_notice(0.613)
    assert line is not None
    assert "the GPU computes only 61% of the time" in line
    assert waiting_notice(0.8) is None
    assert waiting_notice(None) is None


def test_the_baselines_latency_has_the_mean_utilisation_of_its_batches() -> None:
    seconds = [Seconds(whole=1.0, denoising=0.9, busy=busy) for busy in (0.5, None, 0.9)]
    assert BaselineLatency.of(seconds, 4, {}).busy == pytest.approx(0.7)
    assert BaselineLatency.of(seconds[1:2], 4, {}).busy is None
