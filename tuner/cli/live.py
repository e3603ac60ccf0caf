"""The live view of `tuner run` on a terminal: what runs, what was found, what it costs.

The lines that stay (`tuner.cli.lines`) are printed above it. In a pipe there is no live view.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tuner.cli.run_state import Activity, RunState
from tuner.formatting import span, times
from tuner.study.formatting import quality_text
from tuner.study.results import Result

FRONT_ROWS = 5  # of the front, the fastest ones
REFRESHES_PER_S = 4
BAR_WIDTH = 16  # columns
TITLE_WIDTH = 18  # columns
MINUTE_S = 60.0
STOPPING = "stopping, at the latest after this batch; press Ctrl-C again to stop at once"


@contextmanager
def live_view(state: RunState, console: Console) -> Iterator[None]:
    """Show a run at the bottom of the terminal for the length of a ``with`` block.

    Nothing is shown where the console is not a terminal. Whatever other code prints meanwhile
    appears above the view, in whole lines.
    """
    if not console.is_terminal:
        yield
        return
    view = View(state)
    with Live(view, console=console, refresh_per_second=REFRESHES_PER_S, transient=True):
        yield


class View:
    """Draws the state of a run as it is when it is drawn."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the view; each is cut off at the terminal's width."""
        state = self._state
        parts: list[RenderableType] = [
            Rule(Text(state.name), align="left", style="dim"),
            *_sweep_lines(state),
            _bar_line("study", state.done, state.of, _progress_text(state)),
            _bar_line(*_activity(state.activity)),
            _line("cost", _cost_text(state)),
            _line("best so far", best_text(state.best)),
        ]
        front = state.front[::-1][:FRONT_ROWS]
        parts += [
            _line("front" if row == 0 else "", _front_text(result, state), dim=not ok)
            for row, result in enumerate(front)
            for ok in [result.feasible(state.goal.limits)]
        ]
        more = len(state.front) - len(front)
        if more:
            parts.append(_line("", f"and {more} more", dim=True))
        if state.is_stopping:
            parts.append(Text(STOPPING, style="bold yellow", no_wrap=True, overflow="ellipsis"))
        yield Group(*parts)


def _sweep_lines(state: RunState) -> list[Table]:
    """How far the sweep is of which the study is one."""
    sweep = state.sweep
    if sweep is None:
        return []
    left_s = sweep.left_s(state.left_s)
    left = "unknown" if left_s is None else f"about {_brief(left_s)}"
    words = f"study {sweep.number} of {sweep.of}, {sweep.complete} complete, time left: {left}"
    return [_bar_line("all studies", sweep.complete, sweep.of, words)]


def best_text(best: Result | None) -> str:
    """The best feasible result in a few words, and whether it was verified."""
    if best is None:
        return "no feasible setting yet"
    verified = "verified" if best.verified_now else "not verified yet"
    figures = f"{times(best.speedup.value)}, {quality_text(best)}, {verified}"
    return f"{figures}   {best.setting}   (trial {best.trial})"


def _progress_text(state: RunState) -> str:
    """How many trials, or points of a sweep, are done, and how long the others will take."""
    unit = "trials" if state.spec.sweep is None else "points"
    of = "" if state.of is None else f" of {state.of:,}"
    return f"{state.done:,}{of} {unit}, time left: {_left(state)}"


def _left(state: RunState) -> str:
    left_s = state.left_s
    if left_s is None:
        return "unknown"
    return f"{'at most' if state.goal.has_target else 'about'} {_brief(left_s)}, then verification"


def _cost_text(state: RunState) -> str:
    """Seconds, also in units of the baseline."""
    cost_s, in_baselines = state.cost_s, state.cost_in_baselines
    if cost_s is None:
        return ""
    scope = "" if state.spec.sweep is None else " in this run"
    if in_baselines is None:
        return f"{_brief(cost_s)}{scope}"
    return f"{_brief(cost_s)}{scope}, {in_baselines:.1f} times the baseline of a trial's prompts"


def _brief(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MINUTE_S else span(seconds)


def _activity(activity: Activity) -> tuple[str, int, int | None, str]:
    """Title, progress, and in words what is known of what is being measured."""
    words = []
    if activity.of is not None:
        words.append(f"{activity.done} of {activity.of} {activity.unit}")
    elif activity.done:
        words.append(f"{activity.done} {activity.unit}, until the verdict is sure")
    if activity.figures is not None:
        words.append(f"{times(activity.figures.speedup.value)}, {quality_text(activity.figures)}")
    if activity.setting is not None:
        words.append(str(activity.setting))
    return activity.title, activity.done, activity.of, "   ".join(words)


def _front_text(result: Result, state: RunState) -> str:
    verdict = "" if result.feasible(state.goal.limits) else "  over a limit"
    return f"{times(result.speedup.value, 5)}  {quality_text(result, 7)}  {result.setting}{verdict}"


def _bar_line(title: str, done: int, of: int | None, words: str) -> Table:
    """A title, a bar, and words."""
    grid = _grid()
    bar = ProgressBar(total=of or 1, completed=min(done, of) if of else 0, width=BAR_WIDTH)
    grid.add_column(width=BAR_WIDTH)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_row(title, bar, Text(words))
    return grid


def _line(title: str, words: str, *, dim: bool = False) -> Table:
    grid = _grid()
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_row(title, Text(words), style="dim" if dim else "")
    return grid


def _grid() -> Table:
    """A grid with a column for the title; more columns are added."""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(width=TITLE_WIDTH, no_wrap=True, overflow="ellipsis")
    return grid
