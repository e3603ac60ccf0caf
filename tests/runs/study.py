"""The study that the tests here run, and what they read of its database."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna

from tuner.search.loop import Watch
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.storage import Storage

TRIPLE = "miniature/DDIM/4"
# Whatever the weights are worth, something is feasible under 99 %.
FLAGS = ["run", "--pipe", "miniature", "--steps", "4", "--num-samples", "4", "--batch-size", "2"]
FLAGS += ["--sampler", "random", "--req-score-loss", "0.99", "--max-samples", "4"]


def spec(folder: Path, **changes: Any) -> StudySpec:
    """The study of `FLAGS`."""
    values: dict[str, Any] = {
        "pipe": "miniature",
        "steps": 4,
        "num_samples": 4,
        "max_samples": 4,
        "batch_size": 2,
        "trials": 3,
        "sampler": "random",
        "req_score_loss": 0.99,
        "storage": f"sqlite:///{folder / 'tuner.db'}",
    }
    return StudySpec(**values | changes)


def trials(folder: Path, name: str = TRIPLE) -> list[optuna.trial.FrozenTrial]:
    return Storage(f"sqlite:///{folder / 'tuner.db'}", create=False).study(name).trials


def finished(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return [one for one in trials(folder) if one.state.is_finished()]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What an SQL query finds; nothing while there is no such table."""
    with closing(sqlite3.connect(f"file:{folder / 'tuner.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def baselines(folder: Path) -> list[tuple[str, str, str]]:
    """Kind, key and time of every baseline: one that is measured again has another time."""
    return rows(folder, "SELECT kind, key, created FROM tuner_baselines ORDER BY created")  # type: ignore[return-value]


class Count(Watch):
    """Counts the trials that begin, and remembers what it was told."""

    began = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, line: str) -> None:
        self.lines.append(line)

    def trial_began(self, number: int, setting: Setting) -> None:
        self.began += 1
