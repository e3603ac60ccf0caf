"""The live view: what it shows, and that what is printed above it stays whole."""

import io
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from tests.cli.stored import KNOBS, NAME, with_baseline
from tests.helpers.simulated import Bench, measurement
from tuner.cli.lines import TrialLines
from tuner.cli.live import View, live_view
from tuner.cli.run_state import RunState
from tuner.cli.sweep_progress import SweepProgress
from tuner.search.runner.observer import Observer, Observers
from tuner.setting import Setting

DEEPCACHE = Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A study with three settings, of 1.2×, 1.3× and 1.5×."""
    values = {"search_targets": ("deepcache",), "knobs": KNOBS, "trials": 3, "num_samples": 2}
    return with_baseline(Bench(tmp_path, sampler="frontier", **values))  # type: ignore[arg-type]


def begun(bench: Bench) -> RunState:
    """The state of a run that has its baseline and has cost 30 s."""
    state = RunState(bench.spec, clock=lambda: 0.0)
    state.study_began(bench.study, lambda: 30.0)
    state.baseline_measured({"latency_s": 1.0})
    return state


def lines(state: RunState, width: int = 120) -> list[str]:
    """The lines of the view."""
    console = Console(file=io.StringIO(), width=width)
    console.print(View(state))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.replace("━", "").split()) for line in text.splitlines()]


def test_the_view_begins_with_nothing_known(bench: Bench) -> None:
    assert lines(RunState(bench.spec))[1:] == [
        "study 0 of 3 trials, time left: unknown",
        "loading",
        "cost",
        "best so far no feasible setting yet",
    ]


def test_the_view_shows_how_far_the_sweep_is(bench: Bench) -> None:
    progress = {"number": 4, "of": 9, "complete": 2}
    state = RunState(bench.spec, sweep=SweepProgress(**progress, others_s=3600.0))
    assert (
        lines(state)[1].replace("╸ ", "")
        == "all studies study 4 of 9, 2 complete, time left: unknown"
    )
    clock = iter(range(1000))
    state = RunState(
        bench.spec, lambda: 60.0 * next(clock), SweepProgress(**progress, others_s=3600.0)
    )
    for done in range(4):
        state.advanced(done, 10)
    state.trial_began(3, DEEPCACHE)
    assert "study 4 of 9, 2 complete, time left: about 1 h " in lines(state)[1]


def test_the_view_shows_the_running_trial_the_best_the_front_and_the_cost(bench: Bench) -> None:
    state = begun(bench)
    bench.search(observer=state)
    state.trial_began(7, DEEPCACHE)
    assert "trial 7 0 of 2 prompts deepcache 3/0" in lines(state)
    state.trial_went_on(7, measurement(DEEPCACHE))
    shown = lines(state)
    assert "trial 7 2 of 2 prompts 1.30×, loss 0.60%, ssim 0.97, lpips 0.06 deepcache 3/0" in shown
    # A baseline of 2 prompts takes 2 s.
    assert "cost 30 s, 15.0 times the baseline of a trial's prompts" in shown
    best = "best so far 1.50×, loss 1.00%, ssim 0.95, lpips 0.1, not verified yet"
    assert any(line.startswith(f"{best} deepcache 5/0 (trial ") for line in shown)
    front = [line for line in shown if "loss" in line][2:]
    assert [line.split("×")[0].removeprefix("front ") for line in front] == ["1.50", "1.30", "1.20"]


def test_an_inconclusive_trial_says_that_it_goes_on(bench: Bench) -> None:
    state = begun(bench)
    (result,) = [r for r in _results(bench) if r.setting == DEEPCACHE]
    state.resolve_began(result)
    state.trial_began(9, DEEPCACHE)
    more = measurement(DEEPCACHE)
    object.__setattr__(more, "prompts", 6)
    state.trial_went_on(9, more)
    (line,) = (line for line in lines(state) if line.startswith("trial 9"))
    assert line.startswith("trial 9 (re-measu… 6 prompts, until the verdict is sure 1.30×")


def _results(bench: Bench) -> list[object]:
    from tuner.study.results import read_results

    bench.search()
    return list(read_results(bench.study))


def test_after_ctrl_c_the_view_says_how_to_stop_at_once(bench: Bench) -> None:
    state = begun(bench)
    state.interrupted()
    assert lines(state)[-1].startswith(
        "stopping, at the latest after this batch; press Ctrl-C again"
    )


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(bench: Bench, width: int) -> None:
    state = begun(bench)
    bench.search(observer=state)
    console = Console(file=io.StringIO(), width=width)
    console.print(View(state))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    assert text.count("\n") == 5 + 3  # one line each: nothing is wrapped


class Talking(Observer):
    """Another thread's output, notices and libraries that print while the view is drawn."""

    def __init__(self, printing: TrialLines) -> None:
        self._printing = printing

    def trial_began(self, number: int, setting: Setting) -> None:
        self._printing.notice(f"a notice of trial {number} [with brackets]")
        print(f"a library prints in trial {number}")


def test_lines_above_the_view_are_whole_and_the_view_leaves_nothing_behind(bench: Bench) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=24)
    state = begun(bench)
    printing = TrialLines(console, state.goal)
    with live_view(state, console):
        bench.search(observer=Observers([state, printing, Talking(printing)]))
    screen = pyte.Screen(100, 60)
    pyte.Stream(screen).feed(output.getvalue().replace("\n", "\r\n"))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    trials = [line for line in shown if line.startswith("trial ")]
    assert len(trials) == 3
    assert all(" deepcache " in line for line in trials)
    for number in range(3):
        assert f"a notice of trial {number} [with brackets]" in shown
        assert f"a library prints in trial {number}" in shown
    assert shown[-1] == "the search has ended: every setting was tried"
    assert len(shown) == 3 * 3 + 1
    assert not screen.cursor.hidden


def test_in_a_pipe_there_is_a_line_for_each_trial_and_no_view(bench: Bench) -> None:
    output = io.StringIO()
    console = Console(file=output, width=200)
    state = begun(bench)
    with live_view(state, console):
        bench.search(observer=Observers([state, TrialLines(console, state.goal)]))
    printed = output.getvalue().splitlines()
    assert [line.split()[0] for line in printed] == ["trial"] * 3 + ["the"]
    assert "\x1b" not in output.getvalue()
    assert NAME not in output.getvalue()
