"""Whether what a study has stored can be read, found out before a run measures anything."""

import optuna

from tuner.limits import Limits
from tuner.storage.artifacts import artifact_store_of
from tuner.study.baseline import attributes
from tuner.study.costs import read_costs
from tuner.study.reference import read_reference
from tuner.study.results import read_results, read_stopped

MOST_TRIALS = 20_000  # that are read; a sweep of more would begin much later


def check_stored(study: optuna.Study) -> None:
    """Read everything that a run reads in the end; what cannot be read raises its own errors."""
    stored = attributes(study)
    Limits.of_request(stored.get("request", {}))
    artifact_store_of(study)
    if study._storage.get_n_trials(study._study_id) <= MOST_TRIALS:
        read_results(study, stored)
        read_stopped(study)
        read_reference(study, stored)
        read_costs(study)
