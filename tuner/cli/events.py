"""`tuner run --json`: what happens in a run, one JSON object a line (JSON Lines).

`events.schema.json` describes each event. Figures are named as in `search_params.json`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import optuna

from tuner.cli.sweep_progress import SweepProgress
from tuner.given_files import json_text
from tuner.measure.figures import Figures
from tuner.params.write import figures_entry, point, verified_entry
from tuner.printable import printable_json
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.best import pareto_front
from tuner.study.results import Result, read_results

BASELINE_FIGURES = ("latency_s", "score", "num_samples")


class JsonLines:
    """Writes one object a line, at once; stops writing when nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write a line. A reader that has gone must not end the search."""
        if self._stream is None:
            return
        try:
            text = json_text(entry, ensure_ascii=False)
            self._stream.write(f"{printable_json(text)}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


class Events(Observer):
    """Writes the events of one study's run."""

    def __init__(self, lines: JsonLines, spec: StudySpec) -> None:
        self._lines = lines
        self._spec = spec
        self._goal = Goal.of(spec)
        self._study: optuna.Study | None = None
        self._spent_s: Callable[[], float] = lambda: 0.0
        self._progress: tuple[int, int] | None = None
        self._setting: Setting | None = None  # of the running trial

    def study_began(self, study: optuna.Study, spent_s: Callable[[], float]) -> None:
        """The study is open."""
        self._study, self._spent_s = study, spent_s
        spec = self._spec
        self._write(
            "study_started",
            goal={
                "score_loss": spec.req_score_loss,
                "limits": dict(spec.limits),
                "speedup": spec.req_speedup,
                "latency_s": spec.req_time,
            },
            trials=spec.trials,
            num_samples=spec.num_samples,
            sampler=spec.sampler,
        )

    def baseline_progress(self, done: int, batches: int) -> None:
        """A batch of the baseline."""
        self._write("baseline_batch", done=done, of=batches)

    def baseline_measured(self, baseline: Mapping[str, Any]) -> None:
        """The baseline's figures."""
        self._write("baseline", **{name: baseline[name] for name in BASELINE_FIGURES})

    def advanced(self, done: int, of: int) -> None:
        """How far the study is, where that has changed."""
        if self._progress != (done, of):
            self._progress = done, of
            self._write("progress", done=done, of=of, cost_s=self._cost_s)

    def trial_began(self, number: int, setting: Setting) -> None:
        """A trial has begun."""
        self._setting = setting
        self._write("trial_started", trial=number, params=setting.params)

    def trial_went_on(self, number: int, measured: Any) -> None:
        """A batch of a trial."""
        self._write("batch", trial=number, **_batch(measured))

    def trial_ended(self, number: int, state: str, result: Result | None, reason: str) -> None:
        """A trial has finished, was stopped early, or failed."""
        if result is not None:
            same_as = state.rpartition(" ")[2] if state.startswith("same as") else None
            self._write(
                "trial_finished",
                trial=number,
                same_as=None if same_as is None else int(same_as),
                result=point(result, self._goal.limits),
            )
            return
        params = {} if self._setting is None else self._setting.params
        event = "trial_pruned" if state == "PRUNED" else "trial_failed"
        self._write(event, trial=number, params=params, reason=reason)

    def resolve_began(self, result: Result) -> None:
        """The next trial measures a setting with more prompts."""
        self._write("resolve", trial=result.trial, params=result.setting.params)

    def timing_began(self, setting: Setting) -> None:
        """A setting of the front is timed in pairs of batches."""
        self._write("timing", params=setting.params)

    def verification_began(self, setting: Setting) -> None:
        """A verification has begun."""
        self._write("verification_started", params=setting.params)

    def verification_went_on(self, setting: Setting, measured: Any) -> None:
        """A batch of a verification."""
        self._write("verification_batch", params=setting.params, **_batch(measured))

    def verified(self, result: Result) -> None:
        """The result of a verification."""
        verified = result.verified
        self._write(
            "verification",
            trial=result.trial,
            params=result.setting.params,
            holds=self._goal.holds(result),
            figures=None if verified is None else verified_entry(verified, verified.latency_s),
            reason=result.failed_again,
        )

    def notice(self, line: str) -> None:
        """A line for the user."""
        self._write("notice", text=line)

    def finished(self, outcome: str, text: str) -> None:
        """The last event of a study.

        Args:
            outcome: 'reached', 'not reached', 'interrupted' or 'failed'.
            text: the same in words.
        """
        results = []
        if self._study is not None and outcome != "failed":
            results = self._goal.admitted(read_results(self._study))
        limits = self._goal.limits
        best = self._goal.reached(results)
        self._write(
            "finished",
            outcome=outcome,
            text=text,
            best=None if best is None else point(best, limits),
            front=[point(result, limits) for result in pareto_front(results, limits)],
            cost_s=self._cost_s,
        )

    @property
    def _cost_s(self) -> float:
        return round(self._spent_s(), 3)

    def studies_progress(self, sweep: SweepProgress) -> None:
        """How far a run of several studies is as this one begins."""
        self._write(
            "studies_progress",
            number=sweep.number,
            of=sweep.of,
            complete=sweep.complete,
            others_s=sweep.others_s,
        )

    def _write(self, event: str, **values: Any) -> None:
        name = self._spec.triple if self._study is None else self._study.study_name
        self._lines.write(_event(event, name, values))


def studies_finished(
    studies: Sequence[optuna.Study], front: Path | None, report: Path | None
) -> dict[str, Any]:
    """The last event of a run of several studies."""
    values = {
        "studies": [study.study_name for study in studies],
        "front": None if front is None else str(front),
        "report": None if report is None else str(report),
    }
    return _event("studies_finished", None, values)


def study_complete(study: str, trials: int) -> dict[str, Any]:
    """A study is passed over, because it has all that was asked for."""
    return _event("study_complete", study, {"trials": trials})


def dry_run_event(values: Mapping[str, Any]) -> dict[str, Any]:
    """The only event of a dry run."""
    return _event("dry_run", None, values)


def _event(event: str, study: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"event": event, "time": now, "study": study} | dict(values)


def _batch(measured: Figures) -> dict[str, Any]:
    """The figures so far that a reader may plot."""
    figures = figures_entry(measured)
    names = ("num_samples", "speedup", "speedup_ci", "score_loss", "score_loss_ci", "fidelity")
    return {name: figures[name] for name in names if name in figures}
