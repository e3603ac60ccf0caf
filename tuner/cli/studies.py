"""The list of studies: each in one line."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import TrialState
from rich.table import Table

from tuner.errors import UsageError
from tuner.formatting import times
from tuner.params.write import has_baseline, point
from tuner.passwords import hidden
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.formatting import quality_text
from tuner.study.results import Result, read_results


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A study in a line."""

    name: str
    trials: int  # that have ended
    running: int
    has_baseline: bool
    goal: Goal
    best: Result | None  # the fastest that meets the goal
    last_change: datetime | None  # when a trial last began or ended, in local time

    @property
    def best_text(self) -> str:
        """The best setting and its figures, or why there is none."""
        if not self.has_baseline:
            return "no baseline yet"
        if self.best is None:
            return "no setting met the goal" if self.trials else "no trial yet"
        return f"{times(self.best.speedup.value)}, {quality_text(self.best)}  {self.best.setting}"

    @property
    def verified_text(self) -> str:
        """Whether the best setting was verified."""
        if self.best is None:
            return ""
        return "yes" if self.best.verified_now else "not yet"

    def as_json(self) -> dict[str, Any]:
        """The same for scripts; the best setting as in `search_params.json`."""
        change = self.last_change
        return {
            "name": self.name,
            "trials": self.trials,
            "running": self.running,
            "baseline": self.has_baseline,
            "best": None if self.best is None else point(self.best, self.goal.limits),
            "verified": self.best is not None and self.best.verified_now,
            "last_change": None if change is None else change.astimezone().isoformat(),
        }


def names_of_studies(storage: Storage, address: str) -> list[str]:
    """The names of a database's studies.

    Raises `UsageError` where it has none; the message has the `address` as it was given.
    """
    names = storage.study_names()
    if not names:
        raise UsageError(f"{hidden(address)} contains no study; `tuner run` creates one")
    return names


def summary_of(study: optuna.Study) -> StudySummary:
    """Read a study's line."""
    goal = Goal.of_request(study.user_attrs.get("request", {}))
    log = log_of(study)
    measured = has_baseline(study)
    return StudySummary(
        name=study.study_name,
        trials=log.finished(),
        running=log.count(TrialState.RUNNING),
        has_baseline=measured,
        goal=goal,
        best=goal.reached(goal.admitted(read_results(study))) if measured else None,
        last_change=log.last_change(),
    )


def studies_table(summaries: list[StudySummary]) -> Table:
    """One row a study."""
    table = Table(header_style="bold")
    table.add_column("study", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("best setting that meets the goal")
    table.add_column("verified", no_wrap=True)
    table.add_column("last trial", no_wrap=True)
    for summary in summaries:
        running = f" + {summary.running} running" if summary.running else ""
        change = summary.last_change
        table.add_row(
            summary.name,
            f"{summary.trials}{running}",
            summary.best_text,
            summary.verified_text,
            "" if change is None else f"{change:%Y-%m-%d %H:%M}",
        )
    return table
