"""Optuna's storage, which waits for its database, and lets finished trials get artifacts."""

import json
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import delete
from sqlalchemy.orm import Session

from tuner.storage.optuna_names import ARTIFACTS, OURS
from tuner.storage.patience import Patience, patient
from tuner.storage.schema_check import schema_checked_by_version

# What the dashboard stores in place of an artifact that was removed; `optuna.artifacts` cannot read
# it, so that the attribute is deleted instead.
REMOVED = "null"


class PatientStorage(RDBStorage):
    """Optuna's storage, whose methods wait for the database (`tuner.storage.patience`)."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        """Arguments are those of Optuna's `RDBStorage`."""
        self.patience = Patience(url)
        with schema_checked_by_version():
            super().__init__(url, engine_kwargs=engine_kwargs)

    @patient
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Like Optuna's, but a finished trial can get artifacts and attributes of ours."""
        if not key.startswith((ARTIFACTS, OURS)):
            super().set_trial_system_attr(trial_id, key, value)
            return
        row = models.TrialSystemAttributeModel
        with Session(self.engine) as session, session.begin():
            session.execute(delete(row).where(row.trial_id == trial_id, row.key == key))
            if value != REMOVED:
                session.add(row(trial_id=trial_id, key=key, value_json=json.dumps(value)))

    def set_study_user_attr_at_once(self, study_id: int, key: str, value: Any) -> None:
        """Like Optuna's: a database that does not answer raises its error."""
        RDBStorage.set_study_user_attr(self, study_id, key, value)

    @patient
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Like Optuna's, but of an artifact that was removed nothing is left."""
        if not (key.startswith(ARTIFACTS) and value == REMOVED):
            super().set_study_system_attr(study_id, key, value)
            return
        row = models.StudySystemAttributeModel
        with Session(self.engine) as session, session.begin():
            session.execute(delete(row).where(row.study_id == study_id, row.key == key))


# Each of them may be called again after it was stored.
for _name in (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_set_trial_param",
    "get_trial_param",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "get_trial_id_from_study_id_trial_number",
    "get_trial",
    "get_all_trials",
    "_get_trials",
):
    setattr(PatientStorage, _name, patient(getattr(RDBStorage, _name)))
