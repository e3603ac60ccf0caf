"""One searched study, made once; tests that change it get a copy of its database."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tests.helpers.simulated import Bench, measurement
from tests.report.studies import HOSTILE, Page, opened, page_of, searched
from tuner.storage.trial_log import storage_of


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The database of a study of ten trials whose best setting was not verified."""
    folder = tmp_path_factory.mktemp("searched")
    bench = Bench(folder, trials=10)
    bench.measure = lambda setting, trial: iter(  # type: ignore[method-assign]
        [replace(measurement(setting), fidelity={})]
    )
    searched(bench)
    bench.storage.engine.dispose()
    bench.storage.optuna.engine.dispose()
    return (folder / "tuner.db").read_bytes()


@pytest.fixture
def study(database: bytes, tmp_path: Path) -> optuna.Study:
    """The searched study in a database of the test's own."""
    return opened(database, tmp_path)


@pytest.fixture(scope="session")
def sweep(database: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[optuna.Study]:
    """The searched study, a copy with hostile names, and one whose limit no setting meets."""
    folder = tmp_path_factory.mktemp("sweep")
    plain = opened(database, folder)
    names = {"prompts": HOSTILE, "model": HOSTILE}
    hostile = _copied(plain, HOSTILE, names)
    hostile.set_user_attr("evaluation", {"device": HOSTILE})
    return [plain, hostile, _copied(plain, "strict", {"req_score_loss": 0.0001})]


@pytest.fixture(scope="session")
def page_of_one(sweep: list[optuna.Study], tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the searched study alone."""
    return page_of(sweep[:1], tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def page_of_sweep(sweep: list[optuna.Study], tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of all three studies."""
    return page_of(sweep, tmp_path_factory.mktemp("page"))


def _copied(study: optuna.Study, name: str, changes: dict[str, object]) -> optuna.Study:
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=storage_of(study),
        to_storage=storage_of(study),
        to_study_name=name,
    )
    copy = optuna.load_study(study_name=name, storage=storage_of(study))
    copy.set_user_attr("request", study.user_attrs["request"] | changes)
    return copy
