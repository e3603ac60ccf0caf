"""Keeps what the dashboard shows of a running study current: contact sheets and notes.

Writing them takes at most a twentieth of a run's time: after a slow update the next ones wait, and
one at the end brings everything up to date.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypedDict

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.dashboard import notes
from tuner.dashboard.pictures import PictureStore, entries_of
from tuner.dashboard.sheets import baseline_sheet, common_prompts, comparison, trial_sheet
from tuner.formatting import times
from tuner.iterators import closing
from tuner.measure.baseline import OnPictures
from tuner.measure.baseline_store import Store
from tuner.measure.evaluation import Evaluation
from tuner.measure.measurement import Measurement
from tuner.pictures.folder import folder_name
from tuner.search.goal import Goal
from tuner.search.runner.observer import Observer
from tuner.setting import Setting
from tuner.storage.artifacts import create_artifact_store, kept_elsewhere
from tuner.storage.notes import write_note
from tuner.study.baseline import BASELINE, attributes
from tuner.study.results import Result, read_results
from tuner.study.sheets import put_sheet, sheet_paths

SHARE = 20  # an update waits this many times as long as the last one took
FRONT_FILE = "front.png"
FRONT_PROMPTS = 4  # of the sheet that compares the whole front


class PictureArguments(TypedDict, total=False):
    """Arguments of `Evaluation.measure`."""

    on_pictures: OnPictures
    on_baseline: OnPictures


class StudyPages(Observer):
    """An observer of one run.

    Args:
        study: the study that runs.
        goal: what its results must meet.
        database: has the baseline's pictures.
        pictures: keeps pictures; None where none are to be kept.
        folder: where the sheet that compares the front is written; None: nowhere.
        every_trial: whether each trial gets a note, or those of the front alone, as in sweeps of
            very many points.
    """

    def __init__(
        self,
        study: optuna.Study,
        goal: Goal,
        database: Store,
        *,
        pictures: PictureStore | None,
        folder: Path | None,
        every_trial: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._study, self._goal, self._database = study, goal, database
        self._pictures, self._folder = pictures, folder
        self._every_trial, self._warn = every_trial, warn
        self._measured: tuple[int, Measurement] | None = None  # of the running trial
        self._notes: dict[int | None, str] = {}  # as this run wrote them; None: the study's
        self._sheets = sheet_paths(study)  # of trials and, under None, of the baseline
        self._next_update = 0.0

    @classmethod
    def of_run(
        cls,
        study: optuna.Study,
        goal: Goal,
        database: Store,
        evaluation: Evaluation,
        *,
        root: Path | None,
        every_trial: bool,
        warn: Callable[[str], None],
    ) -> Self:
        """The pages of a study that is evaluated in a way; `root` is the folder of all pictures."""
        folder, pictures = None, None
        if root is not None:
            folder = root / folder_name(study.study_name)
            elsewhere = kept_elsewhere(study, folder / "artifacts")
            if elsewhere is not None:
                warn(elsewhere)
            pictures = PictureStore(
                study=study,
                store=create_artifact_store(study, folder / "artifacts"),
                database=database,
                parts=evaluation.score_parts,
                texts=evaluation.texts,
            )
        return cls(
            study,
            goal,
            database,
            pictures=pictures,
            folder=folder,
            every_trial=every_trial,
            warn=warn,
        )

    @property
    def picture_arguments(self) -> PictureArguments:
        """The arguments of `Evaluation.measure` that keep pictures."""
        if self._pictures is None:
            return {}
        return {
            "on_pictures": self._pictures.keep,
            "on_baseline": self._pictures.keep_baseline,
        }

    def begin(self, scores: list[float]) -> None:
        """Show the study with its baseline, whose scores of each prompt are given."""
        if self._pictures is not None:
            entries = self._pictures.baseline(scores)
            if entries:
                sheet = baseline_sheet(self._study.study_name, entries)
                with self._unless_full():
                    path = put_sheet(self._study, self._pictures.store, None, sheet.png())
                    self._sheets[None] = path
        self.update()

    @contextmanager
    def during_search(self) -> Iterator[None]:
        """Bring everything up to date when a ``with`` block ends, also by Ctrl-C."""
        try:
            yield
        except KeyboardInterrupt:
            self.update()
            raise
        self.end()

    def watched(self, trial: int, measurements: Iterator[Measurement]) -> Iterator[Measurement]:
        """The measurements of a trial, of which the last is remembered."""
        if self._pictures is not None:
            self._pictures.begin_trial()
        with closing(measurements):
            for measured in measurements:
                self._measured = trial, measured
                yield measured

    def trial_stored(self, trial: FrozenTrial) -> None:
        """Keep the pictures of a complete trial, and write its note."""
        completed = trial.state == TrialState.COMPLETE
        if completed and self._pictures is not None and self._measured is not None:
            number, measured = self._measured
            if number == trial.number:
                with self._unless_full():
                    self._pictures.end_trial(number, measured)
        if not completed and self._every_trial:
            self._write(trial.number, notes.ended_note(trial))
        if time.monotonic() >= self._next_update:
            self.update()

    def verified(self, result: Result) -> None:
        """A verification may change the best setting and the front."""
        self.update()

    def update(self) -> list[Result]:
        """Bring notes and sheets up to date; returns the front."""
        begun = time.monotonic()
        study_attrs = attributes(self._study)
        results = self._goal.admitted(read_results(self._study, study_attrs))
        front, best = self._goal.front(results), self._goal.reached(results)
        marked = {result.trial for result in front}
        for result in front:
            self._draw(result)
        stored = study_attrs.get(BASELINE, {})
        for result in results if self._every_trial else front:
            marks = [notes.WINNER] if result is best else []
            marks += [notes.FRONT] if result.trial in marked else []
            note = notes.result_note(result, self._goal, stored.get("latency_s"), marks)
            self._write(result.trial, note)
        self._write(None, notes.study_note(self._study, self._goal, results, study_attrs), best)
        now = time.monotonic()
        self._next_update = now + SHARE * (now - begun)
        return front

    def end(self) -> None:
        """Bring everything up to date, and compare the settings of the front in one sheet."""
        front = self.update()
        if self._pictures is None or self._folder is None:
            return
        accelerated = [result for result in front if result.setting.accelerators]
        trials = {
            f"trial {result.trial}, {result.setting}, {times(result.speedup.value)}": entries
            for result in accelerated
            if (entries := entries_of(self._study, self._pictures.store, result.trial))
        }
        if trials:
            prompts = common_prompts(list(trials.values()), FRONT_PROMPTS)
            title = f"{self._study.study_name}: the baseline and the front, fastest last"
            sheet = comparison(trials, self._database, title, prompts)
            with self._unless_full():
                (self._folder / FRONT_FILE).write_bytes(sheet.png())

    @contextmanager
    def _unless_full(self) -> Iterator[None]:
        """Write pictures in a ``with`` block; a full disk costs the pictures, not the search."""
        try:
            yield
        except OSError as error:
            self._warn(f"no more pictures are kept: {error}")
            self._pictures = None

    def _draw(self, result: Result) -> None:
        """Draw a trial's sheet where it has none."""
        if self._pictures is None or result.trial in self._sheets:
            return
        store = self._pictures.store
        entries = entries_of(self._study, store, result.trial)
        if entries and result.setting != Setting():
            sheet = trial_sheet(f"trial {result.trial}: {result.setting}", entries, self._database)
            with self._unless_full():
                self._sheets[result.trial] = put_sheet(
                    self._study, store, result.trial, sheet.png()
                )

    def _write(self, trial: int | None, text: str, shown: Result | None = None) -> None:
        """Write a note with a sheet, unless this run wrote it before.

        The sheet is the trial's own; that of `shown` in a study's note, or else the baseline's.
        """
        path = self._sheets.get(trial)
        if shown is not None:
            path = self._sheets.get(shown.trial, path)
        note = text if path is None else notes.with_picture(text, path)
        if self._notes.get(trial) != note:
            write_note(self._study, trial, note)
            self._notes[trial] = note
