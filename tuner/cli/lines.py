"""What `tuner run` prints to stay: a line for each finished trial, notice and verification."""

from rich.console import Console

from tuner.formatting import times
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.study.formatting import quality_text
from tuner.study.results import Result
from tuner.study.verdicts import limits_text


class TrialLines(Observer):
    """Prints a line for each finished trial.

    Args:
        console: where it is printed.
        goal: determines which results are feasible.
    """

    def __init__(self, console: Console, goal: Goal) -> None:
        self._console = console
        self._goal = goal
        self._fastest = 0.0  # speedup of the fastest feasible result so far
        self._setting = ""  # of the running trial

    def trial_began(self, number: int, setting: Setting) -> None:
        """Remember the setting, for a trial that ends without a result."""
        self._setting = f"  {setting}"

    def notice(self, line: str) -> None:
        """Print the line."""
        self._console.print(line, highlight=False, markup=False)

    def verified(self, result: Result) -> None:
        """Print the result of a verification."""
        verification = result.verified
        if verification is not None:
            holds = "holds" if self._goal.holds(result) else "does not hold"
            self._console.print(
                f"verification on {verification.prompts} prompts: {result.setting} {holds}: "
                f"{times(verification.speedup.value)}, {quality_text(verification)}",
                highlight=False,
                markup=False,
            )
        if result.failed_again is not None:
            line = f"verification of {result.setting} failed: {result.failed_again}"
            self._console.print(line, highlight=False, markup=False)

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """Print the result of a trial, in bold where it is the best one so far."""
        if result is None:
            line = f"trial {number:3d}  {state}{self._setting}: {reason}"
            self._console.print(line, highlight=False, markup=False)
            return
        feasible = result.feasible(self._goal.limits)
        verdict = "" if feasible else f"{limits_text(result, self._goal.limits)}  "
        is_best = feasible and result.speedup.value > self._fastest
        if is_best:
            self._fastest = result.speedup.value
        self._console.print(
            f"trial {number:3d}  {times(result.speedup.value, 5)}  "
            f"{quality_text(result, width=7)}  {verdict}{result.setting}"
            f"{'' if state == 'COMPLETE' else f'  ({state})'}"
            f"{'' if result.unsteady is None else f'  unsteady timing: {result.unsteady}'}",
            style="bold" if is_best else ("" if feasible else "dim"),
            highlight=False,
            markup=False,
        )

    def trial_queued_again(self, number: int) -> None:
        """Say that the failure of a trial is not the last word on its setting."""
        self._console.print(f"trial {number:3d}  its setting will be tried again", highlight=False)
