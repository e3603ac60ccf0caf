"""The number of trials that a study is to have, which several processes must not exceed.

Whether another trial fits is found out in the transaction that begins it, while the study's row is
locked: two processes that ask at the same time get one trial each only where two are left.
"""

from optuna.trial import TrialState
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from tuner.storage.retries import CUT_OFF, RESOLVES

# Locks the study until the transaction ends: on SQLite the whole database.
LOCK = text("UPDATE studies SET study_name = study_name WHERE study_id = :study")
# Trials that were cut off and queued again are no part of the number, nor are those that resolve an
# inconclusive setting. States are part of the text, as in `tuner.storage.living_storage`.
_COUNT = (
    "SELECT COUNT(*) FROM trials WHERE study_id = :study "
    "AND state NOT IN ({others}) AND NOT EXISTS ("
    "SELECT 1 FROM trial_user_attributes AS stored WHERE stored.trial_id = trials.trial_id AND "
    f"(stored.key = '{RESOLVES}' OR (stored.key = '{CUT_OFF}' "
    f"AND trials.state = '{TrialState.FAIL.name}')))"
)
_BEGUN = text(_COUNT.format(others=f"'{TrialState.WAITING.name}'"))
_ENDED = text(_COUNT.format(others=f"'{TrialState.WAITING.name}', '{TrialState.RUNNING.name}'"))


class BudgetSpentError(Exception):
    """No further trial is to begin: those that ended and those that run are enough."""


def check_budget(session: Session, study_id: int, trials: int) -> None:
    """Raise `BudgetSpentError` where a study has `trials` trials, ended or running.

    The study is locked until the session's transaction ends.
    """
    key = {"study": study_id}
    session.execute(LOCK, key)
    if session.execute(_BEGUN, key).scalar_one() >= trials:
        raise BudgetSpentError


def count_ended(connection: Connection, study_id: int) -> int:
    """How many trials of a study have ended and are part of its number, at one moment."""
    return int(connection.execute(_ENDED, {"study": study_id}).scalar_one())
