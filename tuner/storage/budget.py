"""The number of trials that a study is to have, which several processes must not exceed.

Whether another trial fits is found out in the transaction that begins it, while the study's row is
locked: two processes that ask at the same time get one trial each only where two are left.
"""

from optuna.trial import TrialState
from sqlalchemy import text
from sqlalchemy.orm import Session

from tuner.storage.retries import CUT_OFF, RESOLVES

# Locks the study until the transaction ends: on SQLite the whole database.
LOCK = text("UPDATE studies SET study_name = study_name WHERE study_id = :study")
# Trials that were cut off and queued again are no part of the number, nor are those that resolve an
# inconclusive setting. States are part of the text, as in `tuner.storage.living_storage`.
_COUNT = text(
    "SELECT COUNT(*) FROM trials WHERE study_id = :study "
    f"AND state != '{TrialState.WAITING.name}' AND NOT EXISTS ("
    "SELECT 1 FROM trial_user_attributes AS stored WHERE stored.trial_id = trials.trial_id AND "
    f"(stored.key = '{RESOLVES}' OR (stored.key = '{CUT_OFF}' "
    f"AND trials.state = '{TrialState.FAIL.name}')))"
)


class BudgetSpentError(Exception):
    """No further trial is to begin: those that ended and those that run are enough."""


def check_budget(session: Session, study_id: int, trials: int) -> None:
    """Raise `BudgetSpentError` where a study has `trials` trials, ended or running.

    The study is locked until the session's transaction ends.
    """
    key = {"study": study_id}
    session.execute(LOCK, key)
    if session.execute(_COUNT, key).scalar_one() >= trials:
        raise BudgetSpentError
