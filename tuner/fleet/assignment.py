"""Which study of a sweep a worker works on next.

Workers share nothing but the database: each claims the study that it works on
(`tuner.storage.claims`), and a worker that dies loses its claim.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from time import sleep
from typing import Any

from tuner.fleet.needs import Needs, needs_of
from tuner.fleet.order import model_of, ordered
from tuner.sampler_table import sampler_row
from tuner.search.goal import Goal
from tuner.spec import StudySpec
from tuner.storage.claims import Claims
from tuner.storage.database import Storage
from tuner.storage.worker import Worker
from tuner.study.requests import study_key

FEW = 3  # trials of a study, from which others can start warm
POLL_S = 2.0  # between two looks at studies that other workers are finishing
Holders = Mapping[str, Worker | None]  # by the name of a claim


def assigned(
    specs: Sequence[StudySpec],
    storage: Storage,
    notice: Callable[[str], None] = lambda _: None,
    on_complete: Callable[[str, int], None] = lambda name, trials: None,
) -> Generator[StudySpec, None, None]:
    """The studies that this worker is to run, one after the other; each at most once.

    First come studies that are not complete and that no other worker has: those of the loaded
    model, then those of the model that the fewest workers have. Where a model's first study is
    running and no later one could start warm yet, the worker joins that study; once no study is
    left, it joins the one with the most work to begin. A study with a target is joined once some
    trials of it have ended. Studies that other workers only have to finish are waited for, because
    a worker may die.

    The worker has a study until it takes the next one, or until the generator is closed. While the
    database does not answer, it waits (`tuner.storage.patience`).

    Args:
        specs: the studies of the sweep.
        storage: their database.
        notice: prints a line.
        on_complete: called with the name and the number of trials of each study that is passed
            over because it is complete.
    """
    storage.patience.begin(notice)
    assignment = _Assignment(ordered(specs), storage, notice, on_complete)
    with assignment.claims.beating():
        while assignment.left:
            spec = assignment.next()
            if spec is not None:
                try:
                    yield spec
                finally:
                    assignment.release(spec)


class _Assignment:
    def __init__(
        self,
        specs: Sequence[StudySpec],
        storage: Storage,
        notice: Callable[[str], None],
        on_complete: Callable[[str, int], None],
    ) -> None:
        self.claims = Claims(storage.optuna)
        self._specs = list(specs)
        self.left = list(specs)  # that this worker has neither run nor found complete
        self._models = {_name(spec): model_of(spec) for spec in specs}  # by the name of the claim
        self._warm: set[Any] = set()  # models with a study that others can start from
        self._storage = storage
        self._notice = notice
        self._on_complete = on_complete
        self._loaded: Any = None  # the model of the last study that this worker ran
        self._claimed: set[str] = set()
        self._waited_for: set[str] = set()  # studies that were named in a notice

    def next(self) -> StudySpec | None:
        """The next study; None after a look that found none, and a pause where it has to wait."""
        holders = self.claims.holders()
        needs = self._pass_over_complete()
        self._find_warm()
        needs.sort(key=lambda each: self._rank(each.spec, holders))
        for each in needs:
            if not self._has_to_wait(each.spec, holders):
                taken = self.claims.take(_name(each.spec))
                # Where another worker has just taken it, others may have to wait for it now.
                return self._begun(each.spec) if taken else None
        running = [each for each in needs if _can_be_joined(each) and _name(each.spec) in holders]
        if running:
            joined = max(running, key=_work_to_begin).spec
            self._notice(f"joining {joined.triple}, which another worker has begun")
            self._run(joined)
            return joined
        if needs:
            self._report_waiting(holders)
            sleep(POLL_S)
        return None

    def release(self, spec: StudySpec) -> None:
        """End the claim of a study, unless it was joined only."""
        if _name(spec) in self._claimed:
            self._claimed.discard(_name(spec))
            self.claims.release(_name(spec))

    def _pass_over_complete(self) -> list[Needs]:
        """What the studies need that are not complete; the others are left out from now on."""
        needs = needs_of(self.left, self._storage)
        for each in needs:
            if each.complete and each.study is not None:
                self._drop(each.spec)
                self._on_complete(each.study.study_name, each.ended)
        return [each for each in needs if not each.complete]

    def _find_warm(self) -> None:
        """Find out which models have a study now that others can start from."""
        cold = [spec for spec in self._specs if model_of(spec) not in self._warm]
        for each in needs_of(cold, self._storage):
            if each.complete or each.ended >= FEW:
                self._warm.add(model_of(each.spec))

    def _rank(self, spec: StudySpec, holders: Holders) -> tuple[bool, int]:
        """Studies of the loaded model first, then those of the model that fewest workers have."""
        model = model_of(spec)
        return model != self._loaded, self._workers_on(model, holders)

    def _has_to_wait(self, spec: StudySpec, holders: Holders) -> bool:
        """Whether another worker has the study, or one that this one should start warm from."""
        model = model_of(spec)
        source = self._workers_on(model, holders) > 0 and _can_start_others(spec)
        return _name(spec) in holders or (source and model not in self._warm)

    def _workers_on(self, model: Any, holders: Holders) -> int:
        return sum(self._models.get(name) == model for name in holders)

    def _begun(self, spec: StudySpec) -> StudySpec | None:
        """A study that was just claimed, unless its last worker has completed it meanwhile."""
        self._claimed.add(_name(spec))
        (needs,) = needs_of([spec], self._storage)
        if needs.complete:
            self.release(spec)
            return None
        self._run(spec)
        return spec

    def _run(self, spec: StudySpec) -> None:
        self._loaded = model_of(spec)
        self._drop(spec)

    def _drop(self, spec: StudySpec) -> None:
        self.left = [other for other in self.left if other is not spec]

    def _report_waiting(self, holders: Holders) -> None:
        """Say once of each study that it is waited for, and who has it."""
        for spec in self._specs:
            holder = holders.get(_name(spec))
            if _name(spec) in holders and spec.triple not in self._waited_for:
                self._waited_for.add(spec.triple)
                who = "another worker" if holder is None else holder.for_people
                self._notice(f"waiting for {spec.triple}, which {who} is searching")


def workers_on(specs: Sequence[StudySpec], storage: Storage) -> list[Worker | None]:
    """The workers that have one of these studies at this moment."""
    holders = Claims(storage.optuna).holders()
    return [holders[name] for name in map(_name, specs) if name in holders]


def _name(spec: StudySpec) -> str:
    """What is claimed: the study, whatever is searched in it."""
    return f"study {study_key(spec) or spec.triple}"


def _can_start_others(spec: StudySpec) -> bool:
    """Whether other studies may start warm from one like this."""
    enough = spec.trials is None or spec.trials >= FEW
    return enough and spec.transfer and sampler_row(spec.sampler).warm_starts


def _can_be_joined(needs: Needs) -> bool:
    """Whether a second worker has something to do in a study that another one has begun.

    With a target its first few trials may be all that it needs, and a trial of a second worker that
    reaches the target too would be verified as well.
    """
    may_end = Goal.of(needs.spec).has_target and needs.ended < FEW
    return needs.to_begin > 0 and not may_end


def _work_to_begin(needs: Needs) -> int:
    """The steps of the trials that nobody has begun: their seconds are in proportion to it."""
    return needs.to_begin * (needs.spec.steps or 1)
