"""What one worker does: it works on studies until all of them are done, with its model loaded."""

from collections.abc import Callable, Iterator, Sequence

from tuner.outcome import Outcome
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec


def work_on(
    specs: Sequence[StudySpec],
    session: Session,
    observer: Callable[[StudySpec], Observer],
    run: str | None = None,
) -> Iterator[tuple[StudySpec, Outcome]]:
    """Work on studies together with other workers; yields each study once it is over.

    A worker that has nothing to begin in a study goes on with the next one. Only when nothing is
    left anywhere does it wait: another worker may die, and its trial is to be measured then.

    Args:
        specs: the studies.
        session: runs them; keeps what it has loaded.
        observer: makes the observer of a study.
        run: the name of the run, if its workers share one timeout.
    """
    left = list(specs)
    waits = len(left) == 1
    while left:
        passed_over = []
        for spec in next_studies(left):
            shared = SharedRun(name=run, waits=waits)
            outcome = session.run(spec, observer(spec), shared)
            if outcome.is_over:
                yield spec, outcome
            else:
                passed_over.append(spec)
        waits = True  # nothing was left to begin but what others do
        left = passed_over


def next_studies(specs: Sequence[StudySpec]) -> Iterator[StudySpec]:
    """Which study the worker works on next: in their order."""
    yield from specs
