"""Simulated time: one worker runs at a time, the one that wakes next."""

import time

import pytest

from bench.fleet.clock import Clock


def test_workers_wake_in_the_order_of_simulated_time_and_no_time_passes() -> None:
    clock, woken = Clock(), []

    def sleeper(name: str, seconds: float) -> None:
        for _ in range(3):
            clock.sleep(seconds)
            woken.append((clock.now, name))

    began = time.monotonic()
    clock.run([lambda: sleeper("slow", 3000.0), lambda: sleeper("fast", 2000.0)])
    assert time.monotonic() - began < 60
    # At 6000 both wake: the one that fell asleep first comes first.
    assert [name for _, name in woken] == ["fast", "slow", "fast", "slow", "fast", "slow"]
    assert [now for now, _ in woken] == [2000, 3000, 4000, 6000, 6000, 9000]


def test_the_error_of_a_worker_ends_the_run() -> None:
    def fail() -> None:
        raise ValueError("this worker")

    with pytest.raises(ValueError, match="this worker"):
        Clock().run([fail])
