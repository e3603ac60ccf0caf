"""Measuring the plain pipeline with fewer steps, once a search has ended."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

import optuna

from tuner.errors import BadPictureError, DatabaseGoneError, UsageError, in_words
from tuner.formatting import count
from tuner.measure.measurement import Measurement
from tuner.measure.prediction import Prediction
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.bracket import Bracket
from tuner.study.baseline import Baseline, attributes
from tuner.study.best import pareto_front
from tuner.study.recording import store_reference
from tuner.study.reference import read_reference, unmeasurable_steps
from tuner.study.results import read_results
from tuner.study.verifications import Failure

# Takes a number of steps and what is expected of its speedup.
Measure = Callable[[int, Prediction], Iterator[Measurement]]
SPREAD = 0.02  # of the logarithm of a speedup that is estimated from the number of steps


def measure_reference(
    study: optuna.Study,
    goal: Goal,
    steps: int,
    samples: int,
    measure: Measure,
    deadline: Deadline,
    notice: Callable[[str], None],
) -> int:
    """Measure the reference rows that are missing; returns how many numbers of steps were tried.

    The speedup follows from the number of steps, and a pair of batches confirms it; if it does not,
    more pairs are timed. Each row is stored at once, so that an interrupted run is continued by the
    next one. A number of steps that fails gives a line, and the others are measured.

    Args:
        study: has the front whose speedups are bracketed.
        goal: decides which results are feasible.
        steps: of the baseline.
        samples: the baseline's prompts, on which a row is measured.
        measure: measures the plain pipeline with a number of steps.
        deadline: no further row is begun after it.
        notice: prints a line.
    """
    failed = set(unmeasurable_steps(study))
    tried = 0
    while (bracket := _bracket(study, goal, steps, failed)) is not None:
        number = bracket.next_number()
        if number is None:
            break
        if deadline.passed:
            notice(
                "the timeout has passed: the next run measures the plain pipeline with fewer steps"
            )
            break
        if not tried:
            notice("measuring the plain pipeline with fewer steps, for comparison")
        tried += 1
        predicted = Prediction(speedup=bracket.speedup_of(number), spread=SPREAD)
        measured = _measured(partial(measure, number, predicted), samples)
        if isinstance(measured, Failure):
            failed.add(number)
            steps_text = count(number, "step")
            notice(f"the plain pipeline with {steps_text} was not measured: {measured.reason}")
        store_reference(study, number, measured)
    return tried


def _bracket(
    study: optuna.Study, goal: Goal, steps: int, failed: Collection[int]
) -> Bracket | None:
    """The speedups of the front's feasible settings or, if there is none, of all its settings.

    None where no setting is faster than the baseline.
    """
    front = [
        result
        for result in pareto_front(goal.admitted(read_results(study)), goal.limits)
        if result.setting.accelerators and result.current and result.speedup.value > 1
    ]
    feasible = [result for result in front if result.feasible(goal.limits)]
    speedups = [result.speedup.value for result in feasible or front]
    if not speedups:
        return None
    baseline = Baseline.of(attributes(study))
    return Bracket(
        steps=steps,
        denoising_share=(baseline.denoising_s or baseline.latency_s) / baseline.latency_s,
        slowest=min(speedups),
        fastest=max(speedups),
        measured={row.steps: row.speedup.value for row in read_reference(study) if row.current},
        failed=failed,
    )


def _measured(measure: Callable[[], Iterator[Measurement]], samples: int) -> Measurement | Failure:
    """The figures over all prompts, timed in a few pairs at most."""
    try:
        for measured in measure():
            # After the last prompt it comes as it is, and then with more pairs where it takes some.
            if measured.prompts >= samples and (measured.timed or measured.unsteady is None):
                break
    except DatabaseGoneError:
        raise
    except Exception as error:  # a comparison that fails does not end the study
        for_good = isinstance(error, BadPictureError | UsageError)
        return Failure(reason=in_words(error), for_good=for_good)
    return measured
