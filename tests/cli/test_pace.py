"""How long the rest of a search takes is derived from the trials of this run."""

import pytest

from tuner.cli.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def after(steps: list[int], seconds: float = 10.0, of: int = 100) -> tuple[Pace, Clock]:
    """A pace after these numbers of done trials, one every `seconds`."""
    clock = Clock()
    pace = Pace(clock)
    for done in steps:
        pace.advanced(done, of)
        clock.now += seconds
    clock.now -= seconds
    return pace, clock


@pytest.mark.parametrize("steps", [[], [0], [0, 1, 2], [90, 91]])
def test_before_three_trials_of_this_run_the_time_left_is_unknown(steps: list[int]) -> None:
    pace, _ = after(steps)
    assert pace.left_s is None


@pytest.mark.parametrize(
    ("steps", "left_s"), [([0, 1, 2, 3], 970.0), ([90, 91, 92, 93], 70.0), ([0, 50, 100], 0.0)]
)
def test_the_trials_left_take_what_the_last_ones_took(steps: list[int], left_s: float) -> None:
    pace, _ = after(steps)
    assert pace.left_s == left_s


def test_the_time_left_shrinks_while_a_trial_runs_and_never_becomes_negative() -> None:
    pace, clock = after([0, 1, 2, 3], of=4)
    assert pace.left_s == 10.0
    clock.now += 4
    assert pace.left_s == 6.0
    clock.now += 1000
    assert pace.left_s == 0.0


def test_a_report_without_progress_changes_nothing() -> None:
    pace, clock = after([0, 1, 2, 3])
    clock.now += 500
    pace.advanced(3, 100)
    assert pace.left_s == 970.0 - 500
