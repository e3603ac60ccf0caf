"""The trials that a new study begins with: all of them are queued, and by one process only."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial
from sqlalchemy import text
from sqlalchemy.orm import Session

from tuner.storage.budget import LOCK
from tuner.storage.living_storage import LivingStorage

_ANY = text("SELECT 1 FROM trials WHERE study_id = :study LIMIT 1")


def queue_first(storage: LivingStorage, study_id: int, trials: Sequence[FrozenTrial]) -> None:
    """Queue trials in one transaction; none where the study has trials already.

    So neither a second process that begins the study queues them again, nor does one that is killed
    in between leave some of them out.
    """

    def queue_all() -> None:
        key = {"study": study_id}
        with Session(storage.engine) as session, session.begin():
            session.execute(LOCK, key)
            if session.execute(_ANY, key).first() is None:
                for trial in trials:
                    storage._get_prepared_new_trial(study_id, trial, session)

    storage.patience.run(queue_all)
