"""Speedups of paired timings, and what is reported of an unsteady machine."""

import numpy as np
import pytest
import torch

from tests.conftest import Clock
from tuner.measure import statistics
from tuner.measure.paired_timing import PairedTimings
from tuner.measure.stopwatch import Seconds, Stopwatch


def paired(baseline: list[float], accelerated: list[float]) -> PairedTimings:
    """Timings of batches of one picture; denoising is a half and a quarter of their seconds."""
    timings = PairedTimings(stored_s=1.0, batch_size=1)
    for before, after in zip(baseline, accelerated, strict=True):
        timings = timings.plus(
            Seconds(whole=before, denoising=before / 2), Seconds(whole=after, denoising=after / 4)
        )
    return timings


def test_the_speedup_is_the_median_ratio_of_the_pairs() -> None:
    timings = paired([1.0, 1.002, 0.998], [0.5, 0.5, 0.5])
    assert timings.ratios == pytest.approx([2, 2.004, 1.996])
    assert timings.speedup.value == pytest.approx(2)
    assert timings.denoising.value == pytest.approx(4)
    assert timings.unsteady is None
    assert timings.baseline_note is None


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_baseline_that_changed_by_far_is_reported_as_unsteady(factor: float) -> None:
    timings = paired([factor, factor * 1.001, factor * 0.999], [factor / 2] * 3)
    assert timings.unsteady == f"the baseline takes {factor:.3g} s per image now, 1 s when stored"
    assert timings.baseline_note is None  # `unsteady` reports it
    assert timings.is_precise(0.02)  # as it is steady within the trial


@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_a_baseline_that_changed_a_little_is_re_measured_without_an_alarm(factor: float) -> None:
    timings = paired([factor] * 3, [factor / 2] * 3)
    assert timings.baseline_changed
    assert timings.unsteady is None
    assert (
        timings.baseline_note is not None
        and f"{factor:.3g} s per image, 1 s before" in timings.baseline_note
    )


def test_load_that_begins_halfway_is_reported() -> None:
    timings = paired([1, 1, 1, 2, 2, 2], [0.5, 0.5, 0.5, 1, 1, 1])
    assert timings.speedup.high - timings.speedup.low < 1e-9  # the ratios do not show it
    assert timings.unsteady == "the baseline took 1 s per image at first and 2 s later"
    assert not timings.is_precise(0.02)


def test_one_delayed_batch_among_many_is_no_drift() -> None:
    timings = paired([1] * 9 + [1.9, 1, 1], [0.5] * 12)
    assert timings.unsteady is None
    assert timings.is_precise(0.02)


def test_an_imprecise_speedup_is_reported() -> None:
    timings = paired([1, 1, 1, 1, 1, 1], [0.5, 0.8, 0.4, 0.6, 0.5, 0.4])
    assert timings.unsteady is not None and timings.unsteady.startswith("the speedup is known to ±")
    assert not timings.is_precise(0.02)


@pytest.mark.parametrize("noise", ["normal", "spikes"])
@pytest.mark.parametrize("size", [0.005, 0.02])
def test_19_of_20_intervals_cover_although_pairs_end_when_one_is_narrow(
    noise: str, size: float
) -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(600):
        logs = rng.normal(0, size, (2, 12))
        if noise == "spikes":  # one batch in ten is delayed, by a quarter of its time on average
            logs += (rng.random((2, 12)) < 0.1) * rng.exponential(0.25, (2, 12))
        ratios = (2 * np.exp(logs[0] - logs[1])).tolist()
        for count in range(3, 13):
            speedup = statistics.speedup(ratios[:count])
            if (speedup.high - speedup.low) / 2 <= 0.02 * speedup.value:
                break
        covered.append(speedup.low <= 2 <= speedup.high)
    assert 0.92 <= sum(covered) / len(covered) <= 0.99


def test_denoising_begins_with_the_first_call_and_ends_with_the_last(ticking: Clock) -> None:
    denoiser = torch.nn.Identity()
    with Stopwatch(denoiser, "cpu").timed() as seconds:
        ticking.now += 200
        for _ in range(3):
            denoiser(torch.ones(1))
            ticking.now += 100
    assert seconds().denoising == pytest.approx(200, abs=10)
    assert seconds().whole == pytest.approx(500, abs=10)
    with Stopwatch(denoiser, "cpu").timed() as seconds:
        pass
    with pytest.raises(RuntimeError, match="not called"):
        seconds()
