"""The progress display of `tuner run`: the running trial, its progress, and the best result."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from tuner.cli.tables import limits_text
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.search.sweep.estimate import span
from tuner.setting import Setting
from tuner.study.formatting import quality_text
from tuner.study.results import Result

PACE_S = 7 * 24 * 3600.0  # the remaining time follows from the pace of the last 7 days


class TimeLeft(ProgressColumn):
    """The remaining time of a task in days, hours and minutes.

    A sweep can take months, which rich's own column would show in hours.
    """

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The remaining time; empty while there is no pace to derive it from."""
        left = task.time_remaining
        return Text("" if left is None else f"{span(left)} left", style="progress.remaining")


class Display(Observer):
    """Shows a study's progress: bars on a terminal, and a line for each finished trial.

    Args:
        console: where it is printed; bars appear only if this is a terminal.
        goal: determines which results are feasible.
        trials: number of trials of the study, or None if it is not known yet.
        prompts: number of prompts of a trial.
    """

    def __init__(self, console: Console, goal: Goal, trials: int | None, prompts: int) -> None:
        self._console = console
        self._goal = goal
        self._prompts = prompts
        self._best: Result | None = None
        self._setting = ""  # of the running trial
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=console,
            speed_estimate_period=PACE_S,
            disable=not console.is_terminal,
        )
        self._study = self._progress.add_task("study", total=trials, note="")
        self._trial = self._progress.add_task("baseline", total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def baseline_progress(self, done: int, batches: int) -> None:
        """Move the bar of the baseline after a batch."""
        self._progress.update(self._trial, description="baseline", total=batches, completed=done)

    def advanced(self, done: int, of: int) -> None:
        """Move the bar of the study."""
        self._progress.update(self._study, completed=done, total=of)

    def trial_began(self, number: int, setting: Setting) -> None:
        """Show the setting of a new trial."""
        self._setting = f"  {setting}"
        self._progress.update(
            self._trial,
            description=f"trial {number}",
            total=self._prompts,
            completed=0,
            note=str(setting),
        )

    def trial_went_on(self, number: int, measured: Any) -> None:
        """Show the figures of the running trial so far."""
        note = f"{measured.speedup.value:.2f}×, {quality_text(measured)}"
        total = max(self._prompts, measured.prompts)  # an inconclusive trial takes more
        self._progress.update(self._trial, completed=measured.prompts, total=total, note=note)

    def notice(self, line: str) -> None:
        """Print the line."""
        self._console.print(escape(line), highlight=False)

    def verified(self, result: Result) -> None:
        """Print the result of a verification."""
        verification = result.verified
        if verification is not None:
            holds = "holds" if self._goal.met_by(result) else "does not hold"
            self._console.print(
                f"verification on {verification.prompts} prompts: {result.setting} {holds}: "
                f"{verification.speedup.value:.2f}×, {quality_text(verification)}",
                highlight=False,
            )
        if result.failed_again is not None:
            line = f"verification of {result.setting} failed: {escape(result.failed_again)}"
            self._console.print(line, highlight=False)

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Print the result of a trial; show the best one so far next to the bar of the study."""
        if result is None:
            line = f"trial {number:3d}  {state}{self._setting}: {escape(reason)}"
            self._console.print(line, highlight=False)
            return
        feasible = result.feasible(self._goal.limits)
        verdict = "" if feasible else f"{limits_text(result, self._goal.limits)}  "
        faster = self._best is None or result.speedup.value > self._best.speedup.value
        if feasible and faster:
            self._best = result
            note = f"best: {result.speedup.value:.2f}×, loss {result.score_loss.value:.2%}"
            self._progress.update(self._study, note=note)
        self._console.print(
            f"trial {number:3d}  {result.speedup.value:5.2f}×  "
            f"{quality_text(result, width=7)}  {verdict}{result.setting}"
            f"{'' if state == 'COMPLETE' else f'  ({state})'}"
            f"{'' if result.unsteady is None else f'  unsteady timing: {escape(result.unsteady)}'}",
            style="bold" if feasible and faster else ("" if feasible else "dim"),
            highlight=False,
        )
