"""Notes of a study and its trials: Markdown text that Optuna's dashboard shows on their pages.

A note has a part that is rewritten while the study runs, and below a line the part of the user,
which is kept.
"""

from types import SimpleNamespace
from typing import Any

import optuna

from tuner.storage.log import log_of
from tuner.storage.trial_log import storage_of

KEPT = "*What you write below this line is kept.*"


def write_note(study: optuna.Study, trial: int | None, text: str) -> None:
    """Rewrite our part of a note: of a trial, by its number, or of the study (None).

    Nothing is written where the text is there already.
    """
    from optuna_dashboard import get_note, save_note

    owner = _owner(study, trial)
    before = get_note(owner)
    _, line, users = before.partition(KEPT)
    if not line:
        users = f"\n\n{before}" if before else ""  # written before the first of our notes
    note = f"{text}\n\n---\n{KEPT}{users}"
    if note != before:
        save_note(owner, note)


def read_note(study: optuna.Study, trial: int | None) -> str:
    """A note, with the user's part."""
    from optuna_dashboard import get_note

    note: str = get_note(_owner(study, trial))
    return note


def _owner(study: optuna.Study, trial: int | None) -> Any:
    """The study, or what optuna-dashboard needs to know of a trial that may have ended."""
    if trial is None:
        return study
    return SimpleNamespace(
        storage=storage_of(study), study=study, _trial_id=log_of(study).trial(trial)._trial_id
    )
