"""Contact sheets as a study stores them: artifacts, which Optuna's dashboard shows.

The baseline's sheet belongs to the study, those of settings to their trials.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import optuna
from optuna.artifacts import ArtifactMeta
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.storage.artifacts import ArtifactStore as ArtifactStore
from tuner.storage.artifacts import artifact_store_of as artifact_store_of
from tuner.storage.artifacts import artifacts_of, path_of, put_artifact

SHEET = "contact-sheet"  # what the file names of sheets begin with; people may add other artifacts


@dataclass(frozen=True, kw_only=True)
class Sheets:
    """The contact sheets of a study: the bytes of PNG files, in order."""

    baseline: list[bytes] = field(default_factory=list)
    trials: dict[int, list[bytes]] = field(default_factory=dict)  # by number; only where there are


def sheets_of(study: optuna.Study) -> Sheets:
    """The contact sheets that a study has now; none of those whose files are missing."""
    store = artifact_store_of(study)
    if store is None:
        return Sheets()
    metas: dict[int | None, list[ArtifactMeta]] = defaultdict(list)
    for trial, meta in artifacts_of(study):
        if meta.filename.startswith(SHEET):
            metas[trial].append(meta)
    sheets = {trial: _contents(store, of_trial) for trial, of_trial in metas.items()}
    return Sheets(
        baseline=sheets.get(None, []),
        trials={trial: pngs for trial, pngs in sheets.items() if trial is not None and pngs},
    )


def sheet_paths(study: optuna.Study) -> dict[int | None, str]:
    """Where the dashboard serves the sheets, by the trial's number; None: the baseline's."""
    return {
        trial: path_of(study, trial, meta.artifact_id)
        for trial, meta in artifacts_of(study)
        if meta.filename.startswith(SHEET)
    }


def put_sheet(study: optuna.Study, store: ArtifactStore, trial: int | None, png: bytes) -> str:
    """Store a sheet in place of the one that there is: of a trial, or of the baseline (None).

    Returns where the dashboard serves it.
    """
    return path_of(study, trial, put_artifact(study, store, trial, sheet_name(trial), png))


def sheet_name(trial: int | None) -> str:
    """The file name of a trial's sheet, or of the baseline's (None)."""
    return f"{SHEET}-{'baseline' if trial is None else f'trial-{trial:04d}'}.png"


def _contents(store: ArtifactStore, metas: list[ArtifactMeta]) -> list[bytes]:
    contents = []
    for meta in sorted(metas, key=lambda meta: meta.filename):
        try:
            with store.open_reader(meta.artifact_id) as file:
                contents.append(file.read())
        except ArtifactNotFound:
            continue
    return contents
