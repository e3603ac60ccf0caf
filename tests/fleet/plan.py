"""A sweep whose studies are entries of a database: nothing is measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from tests.helpers.specs import flags
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.requests import store_answer, store_opened


class Sweep:
    """The studies of `tuner run --sched DDIM,UniPC --steps 20,50`, in a database of its own."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.storage = Storage(f"sqlite:///{folder / 'tuner.db'}")
        arguments = ["--pipe", "miniature", "--sched", "DDIM,UniPC", "--steps", "50,20"]
        specs = flags(*arguments, "--trials", "10", *more)
        self.specs = [replace(spec, storage=self.storage.url) for spec in specs]

    def spec(self, triple: str) -> StudySpec:
        return next(spec for spec in self.specs if spec.triple == triple)

    def begin(self, triple: str, trials: int = 0, **attributes: Any) -> optuna.Study:
        """Begin a study, with so many finished trials."""
        study = self.storage.open_study(triple, {"device": "a processor"})
        store_opened(study, self.spec(triple))
        for name, value in attributes.items():
            study.set_user_attr(name, value)
        for number in range(trials):
            value = float(number)
            study.add_trial(create_trial(state=TrialState.COMPLETE, values=[value, value]))
        return study

    def complete(self, triple: str) -> None:
        """Make a study complete: its run ended of its own accord, and nothing was feasible."""
        study = self.storage.open_study(triple, {"device": "a processor"})
        store_opened(study, self.spec(triple))
        for _ in range(10):
            study.add_trial(create_trial(state=TrialState.FAIL))
        store_answer(study, self.spec(triple), for_good=False)
