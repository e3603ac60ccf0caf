"""`tuner compare`: trials of a study below its baseline, on chosen prompts, from what is stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from tuner.dashboard.pictures import entries_of, trials_with_pictures
from tuner.dashboard.sheets import PROMPTS, common_prompts, comparison
from tuner.errors import UsageError
from tuner.pictures.album import Entry
from tuner.places import check_file
from tuner.setting import Setting
from tuner.storage.artifacts import ArtifactStore, artifact_store_of
from tuner.storage.database import Storage
from tuner.storage.log import log_of
from tuner.study.schema import SETTING


def compare(
    storage: Storage, name: str, trials: Sequence[int], prompts: Sequence[int], output: Path
) -> None:
    """Write a sheet of the baseline and of trials.

    Args:
        storage: the database.
        name: of the study.
        trials: their numbers, from top to bottom.
        prompts: their numbers, from left to right; the prompts that lost most where empty.
        output: the PNG file.

    Raises:
        UsageError: no such study, trial or prompt; or no pictures of it were kept.
    """
    study = storage.study(name)
    store = artifact_store_of(study)
    if store is None:
        raise UsageError(
            f"{name} has no pictures here: it ran with --pictures none, or its folder of pictures "
            "is no longer beside the database; move it back, or search with --pictures FOLDER"
        )
    numbered = {trial: _entries(study, store, trial) for trial in trials}
    drawn = {entry.number: entry for entries in numbered.values() for entry in entries}
    for prompt in prompts:
        if prompt not in drawn:
            raise UsageError(
                f"none of these trials drew prompt {prompt}; they drew {_listed(drawn)}"
            )
    common = common_prompts(list(numbered.values()), PROMPTS)
    chosen = [drawn[prompt] for prompt in prompts] or common
    rows = {_title(study, trial): entries for trial, entries in numbered.items()}
    check_file(output)
    sheet = comparison(rows, storage, f"{name}: same prompts and noise", chosen)
    try:
        output.write_bytes(sheet.png())
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}; choose another file") from error


def _entries(study: optuna.Study, store: ArtifactStore, trial: int) -> list[Entry]:
    entries = entries_of(study, store, trial) if trial < log_of(study).begun() else []
    if not entries:
        raise UsageError(
            f"there are no pictures of trial {trial}; the trials with pictures are "
            f"{_listed(trials_with_pictures(study))}"
        )
    return entries


def _title(study: optuna.Study, trial: int) -> str:
    return f"trial {trial}: {Setting.of(log_of(study).trial(trial).user_attrs[SETTING])}"


def _listed(numbers: Sequence[int] | Mapping[int, Entry]) -> str:
    return ", ".join(str(number) for number in sorted(numbers)) or "none"
