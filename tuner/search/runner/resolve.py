"""Open verdicts that matter take more prompts, once the search has ended.

During a search every trial has as many prompts: a verdict that stays open teaches the sampler as
much, and most of those that are open do not matter in the end. Afterwards each setting of the front
that is within the limits, though not for sure, has a trial of its own that goes on until it is.
"""

from collections.abc import Callable, Iterator, Sequence

import optuna
from optuna.trial import TrialState, create_trial

from tuner.limits import Limits
from tuner.search.goal import Goal
from tuner.search.runner.stopping import StoppingRule
from tuner.search.space import Space
from tuner.setting import Setting
from tuner.storage.queries import finished
from tuner.storage.retries import RESOLVES
from tuner.study import record
from tuner.study.record import Result


def unresolved(found: Sequence[Result], limits: Limits, most: int, tried: int) -> Iterator[Result]:
    """Results of the front whose verdict is open, fastest first, of fewer than `most` prompts.

    `tried` trials were made: the fastest of many must be surer than one.
    """
    for one in reversed(record.front(list(found), limits)):
        rivals = [other for other in found if other.setting != one.setting]
        effort = StoppingRule(limits=limits, rivals=rivals, tried=tried)
        matters = one.feasible(limits) and one.speedup.value > 1
        if matters and one.prompts < most and not effort.surely_kept(one):
            yield one


def settle(
    study: optuna.Study,
    space: Space,
    goal: Goal,
    most: int,
    run: Callable[[optuna.Trial], object],
) -> Iterator[Result]:
    """Settle one open verdict after the other; yields each before `run` is given its trial.

    What a trial finds may uncover another setting of the front. None is settled twice in a run, and
    none that another worker settles at this moment.
    """
    done: set[Setting] = set()
    tried = finished(study)
    while True:
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        taken = {one.user_attrs.get(RESOLVES) for one in running}
        # What was fast on another machine hides nothing that is on the front here.
        found = [one for one in goal.admitted(record.results(study)) if one.today]
        for one in unresolved(found, goal.limits, most, tried):
            if one.setting not in done and one.trial not in taken and space.holds(one.setting):
                break
        else:
            return
        done.add(one.setting)
        yield one
        run(_begun(study, space, one))


def _begun(study: optuna.Study, space: Space, one: Result) -> optuna.Trial:
    """A trial that does not wait behind those that are queued."""
    begun = create_trial(
        state=TrialState.RUNNING,
        system_attrs={"fixed_params": dict(space.flat(one.setting))},
        user_attrs={RESOLVES: one.trial},
    )
    number = study._storage.create_new_trial(study._study_id, template_trial=begun)
    return optuna.Trial(study, number)
