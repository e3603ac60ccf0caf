"""What one worker does: it works on studies until all of them are done, with its model loaded."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from tuner.fleet.assignment import assigned
from tuner.outcome import Outcome
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec
from tuner.storage.address import check_address
from tuner.storage.database import Storage


def work_on(
    specs: Sequence[StudySpec],
    session: Session,
    observer: Callable[[StudySpec], Observer],
    run: str | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[StudySpec, Outcome]]:
    """Work on studies together with other workers; yields each study that was over after it ran.

    A worker that has nothing to begin in a study goes on with the next one. Only when nothing is
    left anywhere does it wait: another worker may die, and its trial is to be measured then.

    Args:
        specs: the studies, all in one database.
        session: runs them; keeps what it has loaded.
        observer: makes the observer of a study.
        run: the name of the run, if its workers share one timeout.
        notice: prints a line.
    """
    left, waits = list(specs), len(specs) == 1
    while left:
        passed_over = []
        with closing(_next_studies(left, notice)) as studies:
            for spec in studies:
                outcome = session.run(spec, observer(spec), SharedRun(name=run, waits=waits))
                if outcome.is_over:
                    yield spec, outcome
                else:
                    passed_over.append(spec)
        left, waits = passed_over, True  # nothing was left to begin but what others do


def _next_studies(
    specs: Sequence[StudySpec], notice: Callable[[str], None]
) -> Generator[StudySpec, None, None]:
    """The studies in the order in which this worker is to run them."""
    if len(specs) == 1:  # whose outcome is wanted also where it is complete
        yield specs[0]
        return
    check_address(specs[0].storage)
    storage = Storage(specs[0].storage)
    with closing(assigned(specs, storage, notice)) as studies:
        yield from studies
