"""Finding trials whose process died, and queueing them again.

Where the process can be looked up (`tuner.storage.worker`), a trial is dead as soon as its process
is gone. Any other trial is dead after `GRACE_S` seconds without a heartbeat
(`tuner.storage.living_storage`). The seconds are counted by a clock that both processes share, or
else from when this process first saw the last heartbeat: another machine's clock is never trusted.
Time in which the database did not answer does not count: nobody could write a heartbeat then.
"""

from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.storage import worker
from tuner.storage.living_storage import LivingStorage
from tuner.storage.retries import CUT_OFF, is_cut_off, next_try
from tuner.storage.worker import WORKER, Worker

GRACE_S = 120.0  # without a heartbeat, until a trial is marked as failed
GONE = float("inf")  # seconds of silence of a process that has ended


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial that some process runs, or ran until it died."""

    trial: FrozenTrial
    process: Worker | None  # None for a trial of an old version that did not name its process
    beat: float | None  # time of the last heartbeat
    silent_s: float  # seconds without a heartbeat

    @property
    def is_dead(self) -> bool:
        """Whether the trial is to be marked as failed."""
        return self.silent_s > GRACE_S

    @property
    def left_s(self) -> float:
        """Seconds until it is marked as failed, if there is no further heartbeat."""
        return max(0.0, GRACE_S - self.silent_s)

    def __str__(self) -> str:
        """For people: 'trial 3 of process 4711 on node1'."""
        owner = "" if self.process is None else f" of {self.process.for_people}"
        return f"trial {self.trial.number}{owner}"


def silence_s(
    first_seen: dict[Any, tuple[float | None, float]],
    key: Any,
    process: Worker | None,
    clock: str | None,
    beat: float | None,
    answering_since: float,
) -> float:
    """For how many seconds a process has written no heartbeat; `GONE` where it has ended.

    Args:
        first_seen: by key, the last heartbeat and when this process first saw it; updated here.
        key: what the heartbeat is of.
        process: the process; None if unknown.
        clock: the clock that the heartbeat was read from.
        beat: the time of the heartbeat; None where there is none.
        answering_since: when the database last began to answer: nobody could write before.
    """
    now = worker.now()
    if process is not None and process.runs is False:
        return GONE
    if process is not None and process.runs and not process.place:
        return 0.0  # of an old version, which writes no heartbeats
    if beat is not None and clock is not None and clock == worker.clock():
        return now - max(beat, answering_since)
    if key not in first_seen or first_seen[key][0] != beat:
        first_seen[key] = (beat, now)
    return now - max(first_seen[key][1], answering_since)


class Liveness:
    """Determines which running trials are dead."""

    def __init__(self, storage: LivingStorage) -> None:
        self._storage = storage

    def running(self, study: optuna.Study) -> list[Running]:
        """The running trials of a study."""
        trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        beats = self._storage.beats([trial._trial_id for trial in trials]) if trials else {}
        return [self._looked_up(trial, beats.get(trial._trial_id)) for trial in trials]

    def _looked_up(self, trial: FrozenTrial, beat: tuple[str | None, float] | None) -> Running:
        process = Worker.named(str(trial.user_attrs.get(WORKER, "")))
        clock, time = beat or (None, None)
        return Running(
            trial=trial,
            process=process,
            beat=time,
            silent_s=silence_s(
                self._storage.first_seen,
                trial._trial_id,
                process,
                clock,
                time,
                self._storage.patience.answering_since,
            ),
        )

    def fail_dead_trials(self, study: optuna.Study) -> int:
        """Mark dead trials as failed and queue them again; returns how many there were.

        A failed trial that was queued again does not count towards the study's trials.
        """
        dead = [trial for trial in self.running(study) if trial.is_dead]
        return sum(self._fail(study, trial) for trial in dead)

    def _fail(self, study: optuna.Study, running: Running) -> bool:
        reason = "its process ended before the trial did"
        if running.silent_s != GONE:
            reason = f"no heartbeat of its process for {running.silent_s:.0f} s"
        retry = next_try(running.trial)
        attributes = {"reason": reason} | (
            {CUT_OFF: True} if is_cut_off(running.trial, retry) else {}
        )
        return self._storage.fail_trial(
            study._study_id, running.trial._trial_id, running.beat, attributes, retry
        )
