"""Latencies of turns: the speedup that they give, and what is said of an unsteady machine."""

import numpy as np
import pytest
import torch

from tests.conftest import Clock
from tuner.measure import statistics
from tuner.measure.stopwatch import Seconds, Stopwatch, Turns


def turns(without: list[float], accelerated: list[float], kept_s: float = 1.0) -> Turns:
    """Turns of one picture a batch, of whose seconds half is denoising."""
    found = Turns(kept_s=kept_s, batch_size=1)
    for before, after in zip(without, accelerated, strict=True):
        found = found.plus(
            Seconds(whole=before, denoising=before / 2), Seconds(whole=after, denoising=after / 4)
        )
    return found


def test_the_speedup_is_the_median_of_what_the_turns_say() -> None:
    found = turns([1.0, 1.002, 0.998], [0.5, 0.5, 0.5])
    assert found.ratios == pytest.approx([2, 2.004, 1.996])
    assert found.speedup.value == pytest.approx(2)
    assert found.denoising.value == pytest.approx(4)
    assert found.unsteady is None
    assert found.renewed is None


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_machine_that_is_another_one_says_so_and_its_own_baseline_counts(factor: float) -> None:
    found = turns([factor, factor * 1.001, factor * 0.999], [factor / 2] * 3)
    assert found.unsteady == f"the baseline takes {factor:.3g} s per image now, 1 s before"
    assert found.renewed is None  # it is said already
    assert found.enough(0.02)  # it holds still all the same


@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_a_baseline_that_moved_a_little_counts_as_it_is_now_and_is_no_alarm(factor: float) -> None:
    found = turns([factor] * 3, [factor / 2] * 3)
    assert found.has_changed
    assert found.unsteady is None
    assert found.renewed is not None and f"{factor:.3g} s per image, 1 s before" in found.renewed


def test_load_that_comes_half_way_is_said() -> None:
    found = turns([1, 1, 1, 2, 2, 2], [0.5, 0.5, 0.5, 1, 1, 1])
    assert found.speedup.high - found.speedup.low < 1e-9  # the ratios know nothing of it
    assert found.unsteady == "the baseline took 1 s per image at first and 2 s later"
    assert not found.enough(0.02)


def test_one_batch_that_was_held_up_is_no_drift_among_many() -> None:
    found = turns([1] * 9 + [1.9, 1, 1], [0.5] * 12)
    assert found.unsteady is None
    assert found.enough(0.02)


def test_a_speedup_that_is_known_roughly_says_so() -> None:
    found = turns([1, 1, 1, 1, 1, 1], [0.5, 0.8, 0.4, 0.6, 0.5, 0.4])
    assert found.unsteady is not None and found.unsteady.startswith("the speedup is known to ±")
    assert not found.enough(0.02)


@pytest.mark.parametrize("noise", ["normal", "spikes"])
@pytest.mark.parametrize("size", [0.005, 0.02])
def test_19_of_20_intervals_cover_although_pairs_stop_when_one_is_narrow(
    noise: str, size: float
) -> None:
    rng = np.random.default_rng(7)
    held = []
    for _ in range(600):
        logs = rng.normal(0, size, (2, 12))
        if noise == "spikes":  # one batch in ten is held up by a quarter of its time
            logs += (rng.random((2, 12)) < 0.1) * rng.exponential(0.25, (2, 12))
        ratios = (2 * np.exp(logs[0] - logs[1])).tolist()
        for count in range(3, 13):
            found = statistics.speedup(ratios[:count])
            if (found.high - found.low) / 2 <= 0.02 * found.value:
                break
        held.append(found.low <= 2 <= found.high)
    assert 0.92 <= sum(held) / len(held) <= 0.99


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
