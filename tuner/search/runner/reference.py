"""Measuring the plain pipeline with fewer steps, once a search has ended."""

from collections.abc import Callable, Collection, Iterator

import optuna

from tuner.errors import BadPictureError, UsageError, in_words
from tuner.measure.measurement import Measurement
from tuner.search.deadline import Deadline
from tuner.search.goal import Goal
from tuner.search.runner.bracket import Bracket
from tuner.study.baseline import Baseline, attributes
from tuner.study.recording import store_reference
from tuner.study.reference import read_reference, unmeasurable_steps
from tuner.study.results import pareto_front, read_results
from tuner.study.verifications import Failure

Measure = Callable[[int], Iterator[Measurement]]  # takes a number of steps


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

    Each row is stored at once, so that an interrupted run is continued by the next one. A number of
    steps that fails gives a line, and the others are measured.

    Args:
        study: has the front whose speedups are bracketed.
        goal: decides which results are feasible.
        steps: of the baseline.
        samples: the baseline's prompts, on which a row is measured.
        measure: measures the plain pipeline with so many steps.
        deadline: no further row is begun after it.
        notice: prints a line.
    """
    failed = set(unmeasurable_steps(study))
    tried = 0
    while (number := _next_number(study, goal, steps, failed)) is not None:
        if deadline.passed:
            notice("the time is up: the next run measures the plain pipeline with fewer steps")
            break
        if not tried:
            notice("measuring the plain pipeline with fewer steps, for comparison")
        tried += 1
        measured = _measured(measure, number, samples)
        if isinstance(measured, Failure):
            failed.add(number)
            notice(f"{number} steps were not measured: {measured.reason}")
        store_reference(study, number, measured)
    return tried


def _next_number(
    study: optuna.Study, goal: Goal, steps: int, failed: Collection[int]
) -> int | None:
    """The number of steps to measure next; None once the front's speedups are bracketed.

    Those of its feasible settings or, if there is none, of all of them.
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
    ).next_number()


def _measured(measure: Measure, steps: int, samples: int) -> Measurement | Failure:
    """The figures over all prompts, timed until the timing is reliable."""
    try:
        for measured in measure(steps):
            # After the last prompt it comes with a few pairs, and then with as many as it takes.
            if measured.prompts >= samples and (measured.timed or measured.unsteady is None):
                break
    except Exception as error:  # a comparison that fails does not end the study
        for_good = isinstance(error, BadPictureError | UsageError)
        return Failure(reason=in_words(error), for_good=for_good)
    return measured
