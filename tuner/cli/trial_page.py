"""`tuner show STUDY --trial N`: everything that is known of one trial, in plain words."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from tuner import describe
from tuner.dashboard.pictures import trials_with_pictures
from tuner.errors import UsageError
from tuner.formatting import count, duration, times, times_with_interval
from tuner.measure.account import Account, Purpose
from tuner.params.write import point
from tuner.search.goal import Goal
from tuner.setting import Setting
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.storage.retries import RESOLVES
from tuner.storage.worker import WORKER, Worker
from tuner.study.baseline import Baseline, attributes
from tuner.study.costs import StudyCosts, cost_of_trial, own_cost, read_costs
from tuner.study.formatting import quantities_of
from tuner.study.results import Result, read_result, read_results
from tuner.study.schema import PAIRED, SAME_AS, SETTING
from tuner.study.verdicts import verdict

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "queued",
}


@dataclass(frozen=True, kw_only=True)
class TrialPage:
    """A trial, its result if it was measured, and what belongs to it."""

    study: optuna.Study
    trial: FrozenTrial
    goal: Goal
    baseline: Baseline
    result: Result | None  # of a stopped trial, over the prompts that it had
    machine: Mapping[str, Any] | None  # where its speedup was timed; None where that is not stored
    has_pictures: bool  # which `tuner compare` draws

    @classmethod
    def of(cls, study: optuna.Study, number: int, storage: Storage) -> "TrialPage":
        """The page of a trial; raises `UsageError` where the study has none of this number."""
        try:
            trial = log_of(study).trial(number)
        except KeyError:
            count = log_of(study).begun()
            has = f"its trials are 0 to {count - 1}" if count else "it has no trial yet"
            raise UsageError(f"{study.study_name} has no trial {number}; {has}") from None
        stored = trial.user_attrs
        measured = SETTING in stored and "speedup" in stored
        result = read_result(study, number, stored) if measured else None
        key = None if result is None else result.latency_key
        return cls(
            study=study,
            trial=trial,
            goal=Goal.of_request(study.user_attrs.get("request", {})),
            baseline=Baseline.of(attributes(study)),
            result=result,
            machine=None if key is None else storage.parts("latency", key),
            has_pictures=number in trials_with_pictures(study),
        )

    def as_table(self) -> Table:
        """Two columns: what, and what is known of it."""
        title = f"{self.study.study_name}: trial {self.trial.number}"
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, text in self.rows():
            table.add_row(name, Text(text))
        return table

    def as_json(self) -> dict[str, Any]:
        """The same for scripts; the result as in `search_params.json`."""
        trial, result = self.trial, self.result
        began, ended = trial.datetime_start, trial.datetime_complete
        return {
            "study": self.study.study_name,
            "trial": trial.number,
            "state": trial.state.name,
            "params": trial.user_attrs.get(SETTING),
            "result": None if result is None else point(result, self.goal.limits),
            "on_front": self._is_on_front,
            "same_as": trial.user_attrs.get(SAME_AS),
            "resolves": trial.user_attrs.get(RESOLVES),
            "reason": trial.user_attrs.get("reason"),
            "note": trial.user_attrs.get("note"),
            "cost": own_cost(trial.user_attrs),
            "machine": None if self.machine is None else dict(self.machine),
            "has_pictures": self.has_pictures,
            "began": None if began is None else began.astimezone().isoformat(),
            "ended": None if ended is None else ended.astimezone().isoformat(),
            "traceback": trial.user_attrs.get("traceback"),
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and text of each line; what is not known is left out."""
        stored = self.trial.user_attrs
        yield "state", STATES[self.trial.state]
        if SETTING in stored:
            yield from setting_rows(Setting.of(stored[SETTING]))
        if SAME_AS in stored:
            yield "figures from", f"trial {stored[SAME_AS]}, which is the same computation"
        if RESOLVES in stored:
            earlier = stored[RESOLVES]
            yield "re-measures", f"trial {earlier} of the same setting, with more prompts"
        if "reason" in stored:
            yield "reason", stored["reason"]
        if self.result is not None:
            yield from self._figure_rows(self.result)
            yield from self._timing_rows(self.result)
            yield from self._verdict_rows(self.result)
        if stored.get("note"):
            yield "note", stored["note"]
        cost = own_cost(stored)
        if cost is not None:
            account = cost_of_trial(self.study, self.trial.number, cost)
            yield "cost", cost_text(account, read_costs(self.study))
        yield from self._where_and_when()
        if "traceback" in stored:
            yield "traceback", stored["traceback"].rstrip()

    def _figure_rows(self, result: Result) -> Iterator[tuple[str, str]]:
        """The figures with their 95% intervals."""
        texts = describe.figures_in_words(result)
        texts["speedup"] = describe.speed(result, self.baseline.latency_s)
        texts["score loss"] += f" over {result.prompts} prompts; score {result.score:.2f}"
        yield "speedup", texts.pop("speedup")
        if result.denoising is not None:
            yield "denoising alone", times_with_interval(result.denoising)
        yield from texts.items()
        for quantity, value in quantities_of(result):
            yield quantity.title, f"{quantity.text_of(value)} {quantity.explanation}".strip()

    def _timing_rows(self, result: Result) -> Iterator[tuple[str, str]]:
        paired = self.trial.user_attrs.get(PAIRED) or {}
        how = describe.how_timed(result)
        if result.speedup_from == "model" and paired.get("speedup"):
            how += f"; {times(paired['speedup'])} in {count(paired['count'], 'pair')}"
        yield "how timed", how
        if result.unsteady is not None:
            yield "unsteady timing", result.unsteady

    def _verdict_rows(self, result: Result) -> Iterator[tuple[str, str]]:
        limits = self.goal.limits
        if self.trial.state == TrialState.COMPLETE:
            yield "verdict", verdict(result, limits) or "the baseline"
            yield "on the front", "yes" if self._is_on_front else "no"
        yield "goal", str(self.goal)
        misses = self.goal.misses(result)
        if misses:
            yield "misses", "; ".join(miss.text for miss in misses)
        yield "verification", self._verification(result)

    def _where_and_when(self) -> Iterator[tuple[str, str]]:
        if self.has_pictures:
            name = shlex.quote(self.study.study_name)
            yield "pictures", f"drawn by `tuner compare {name} --trials {self.trial.number}`"
        if self.machine is not None:
            yield "timed on", machine_text(self.machine)
        process = Worker.named(str(self.trial.user_attrs.get(WORKER, "")))
        if process is not None:
            yield "process", f"{process.pid} on {process.host}"
        began, duration = self.trial.datetime_start, self.trial.duration
        if began is not None:
            took = "" if duration is None else f", took {duration.total_seconds():.1f} s"
            yield "when", f"{began:%Y-%m-%d %H:%M:%S}{took}"

    def _verification(self, result: Result) -> str:
        second = describe.verification(result, self.goal)
        return second or "none: only settings that may be the best are verified"

    @property
    def _is_on_front(self) -> bool:
        front = self.goal.front(read_results(self.study))
        return self.trial.number in {result.trial for result in front}


def setting_rows(setting: Setting) -> Iterator[tuple[str, str]]:
    """The setting in its short form, and each accelerator with its knobs by name."""
    yield "setting", str(setting)
    for name, knobs in describe.knobs_in_words(setting).items():
        yield "", f"{name}: {knobs}"


def cost_text(account: Account, costs: StudyCosts) -> str:
    """Seconds, also in units of the baseline, and pictures by purpose."""
    units = describe.in_baselines(account.total_s, costs)
    pictures = ", ".join(
        f"{purpose.value.removesuffix(' pictures')} {account.pictures[purpose]}"
        for purpose in Purpose
        if account.pictures.get(purpose)
    )
    parts = [duration(account.total_s), units, f"pictures: {pictures}" if pictures else ""]
    return "; ".join(part for part in parts if part)


def machine_text(parts: Mapping[str, Any]) -> str:
    """The machine and the package versions that a speedup was timed with."""
    threads = parts.get("threads")
    names = [str(parts.get("device", "unknown device"))]
    if threads is not None:
        names.append(f"{threads} thread{'s' if threads > 1 else ''}")
    names += [f"{name} {parts[name]}" for name in ("cuda", "driver") if parts.get(name)]
    versions = parts.get("versions") or {}
    names += [f"{name} {versions[name]}" for name in ("torch", "diffusers") if name in versions]
    return ", ".join([*names, f"batches of {parts['batch_size']}"])
