"""The progress display: the bar of a study and its remaining time."""

import re
from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from tuner.cli.progress import Display, TimeLeft
from tuner.limits import Limits
from tuner.search.goal import Goal

GOAL = Goal(limits=Limits(score_loss=0.02))


def test_the_bar_counts_points_and_shows_the_remaining_time() -> None:
    clock = iter(range(0, 10_000_000, 600))
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=120, color_system=None)
    display = Display(console, GOAL, None, 32)
    display._progress.get_time = lambda: float(next(clock))
    with display:
        display.advanced(1000, 1_036_800)
        display.advanced(1001, 1_036_800)
        display._progress.refresh()
    bars = re.findall(r"study .*", output.getvalue())
    assert "1001/1036800" in bars[-1]
    # Each reading of this clock is ten minutes after the last one; it is read once for each point.
    assert re.search(r"[\d,]+ days \d+ h left", bars[-1])


@pytest.mark.parametrize(
    ("steps", "text"),
    [([], ""), ([1], ""), ([1, 2, 3, 4], "16 min 0 s left"), ([90, 100], "0 min 0 s left")],
)
def test_the_remaining_time_follows_from_the_pace_of_this_run(steps: list[int], text: str) -> None:
    now = [0.0]
    progress = Progress(get_time=lambda: now[0], speed_estimate_period=1e9)
    task = progress.add_task("study", total=100)
    for done in steps:
        now[0] += 10
        progress.update(task, completed=done)
    assert TimeLeft().render(progress.tasks[0]).plain == text
