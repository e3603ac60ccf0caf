"""A run's account has every picture that it generates, and all of its time."""

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.runs.study import TRIPLE, Count, finished, run_until_signal, spec, trials
from tuner import study_costs
from tuner.cli.main import main
from tuner.errors import TrialError
from tuner.measure import setting_procedure
from tuner.measure.account import Purpose
from tuner.search.runner.alone import ENDING, alone
from tuner.session import Session
from tuner.storage.database import Storage
from tuner.study.costs import read_costs


@pytest.mark.parametrize("sampler", ["random", "frontier"])
def test_every_picture_and_second_is_accounted_for(
    sampler: str,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = time.monotonic()
    session.run(spec(tmp_path, trials=3, sampler=sampler, search_targets=("deepcache",)))
    wall_s = time.monotonic() - start
    storage = f"sqlite:///{tmp_path / 'tuner.db'}"
    costs = read_costs(Storage(storage, create=False).study(TRIPLE))
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))
    assert costs.total.pictures[Purpose.VERIFICATION] > 0
    assert 0.5 * wall_s < costs.total.seconds[Purpose.REST] <= 1.01 * wall_s  # a simulated clock
    assert main(["show", "--cost", "--storage", storage]) == 0
    shown = capsys.readouterr().out
    assert "cost by purpose" in shown and "cost by trial" in shown
    assert "of the pictures generated after the baseline" in shown


@pytest.mark.parametrize("error", [TrialError("out of memory"), KeyboardInterrupt()])
def test_what_a_trial_cost_that_failed_in_its_first_batch_is_shown_with_it(
    error: BaseException,
    tmp_path: Path,
    session: Session,
    calls: list[range],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second Ctrl-C is raised there, too."""

    checked, errors = setting_procedure.checked, iter([error])

    def fail_once(output: Any) -> Any:
        for raised in errors:
            time.sleep(1.5)
            raise raised
        return checked(output)

    monkeypatch.setattr(setting_procedure, "checked", fail_once)
    with suppress(KeyboardInterrupt):
        session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)))
    assert finished(tmp_path)[0].state == TrialState.FAIL
    storage = Storage(f"sqlite:///{tmp_path / 'tuner.db'}", create=False)
    costs = read_costs(storage.study(TRIPLE))
    assert costs.trials[0].pictures[Purpose.SCORED] == 2
    assert costs.trials[0].seconds[Purpose.SCORING] >= 1.5
    assert sum(costs.total.pictures.values()) == sum(map(len, calls))


def test_what_a_killed_trial_has_cost_so_far_is_in_the_account(
    folder: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_costs, "EVERY_S", 0.0)
    before = len(finished(folder))
    assert run_until_signal(signal.SIGKILL, 0, "--trials", "50", batches=1) == -signal.SIGKILL
    (killed,) = [trial for trial in trials(folder) if trial.state == TrialState.RUNNING]
    session.run(spec(folder, trials=before + 1))
    storage = Storage(f"sqlite:///{folder / 'tuner.db'}", create=False)
    costs = read_costs(storage.study(TRIPLE))
    assert costs.trials[killed.number].pictures[Purpose.SCORED] == 2
    assert costs.trials[killed.number].seconds[Purpose.SCORED] > 0


def test_waiting_for_another_run_is_a_purpose_and_not_outside_the_pipeline(
    tmp_path: Path, session: Session
) -> None:
    request = spec(tmp_path, trials=1, search_targets=("deepcache",))
    session.run(request)
    storage = Storage(request.storage)
    before = read_costs(storage.study(TRIPLE))
    released = threading.Event()

    class Releases(Count):
        """Lets the other run end what this one waits for, a second after it began to wait."""

        def notice(self, line: str) -> None:
            super().notice(line)
            if line.startswith("waiting for "):
                threading.Timer(1.0, released.set).start()

    def hold() -> None:
        with alone(Storage(request.storage).study(TRIPLE), ENDING):
            held.set()
            released.wait(60)

    held = threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    observer = Releases()
    session.run(spec(tmp_path, trials=2, search_targets=("deepcache",)), observer)
    other.join()
    costs = read_costs(storage.study(TRIPLE))
    assert any("verifies the best setting" in line for line in observer.lines)
    assert Purpose.WAITING not in before.total.seconds
    waited_s = costs.total.seconds[Purpose.WAITING]
    assert waited_s >= 1.0
    total = costs.total
    outside_s = total.seconds[Purpose.SCORING] + total.seconds[Purpose.REST]
    rest_s = total.total_s - waited_s - total.seconds[Purpose.LOADING]
    assert costs.outside_share == pytest.approx(outside_s / rest_s)
