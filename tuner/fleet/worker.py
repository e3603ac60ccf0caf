"""What one worker does: it works on studies until all of them are done, with its model loaded."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial

from tuner.fleet.assignment import assigned
from tuner.outcome import Outcome
from tuner.search.runner.observer import Observer
from tuner.session import Session
from tuner.shared_run import SharedRun
from tuner.spec import StudySpec
from tuner.storage.address import check_address
from tuner.storage.database import Storage


def until_over(
    specs: Sequence[StudySpec],
    assign: Callable[[list[StudySpec]], Generator[StudySpec, None, None]],
    run: Callable[[StudySpec, bool], Outcome],
    *,
    waits: bool = False,
) -> Iterator[tuple[StudySpec, Outcome]]:
    """Run studies until nothing is left of them; yields each one that was over after it ran.

    A worker that has nothing to begin in a study goes on with the next one. Only when nothing is
    left anywhere does it wait: another worker may die, and its trial is to be measured then.

    Args:
        specs: the studies.
        assign: which of the studies that are left this worker runs, one after the other.
        run: runs a study; it is told whether to wait for what other workers measure.
        waits: whether to wait from the beginning.
    """
    left = list(specs)
    while left:
        passed_over = []
        with closing(assign(left)) as studies:
            for spec in studies:
                outcome = run(spec, waits)
                if outcome.is_over:
                    yield spec, outcome
                else:
                    passed_over.append(spec)
        left, waits = passed_over, True  # nothing was left to begin but what others do


def work_on(
    specs: Sequence[StudySpec],
    session: Session,
    observer: Callable[[StudySpec], Observer],
    run: str | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[StudySpec, Outcome]]:
    """Work on studies together with other workers; yields each study that was over after it ran.

    Args:
        specs: the studies, all in one database.
        session: runs them; keeps what it has loaded.
        observer: makes the observer of a study.
        run: the name of the run, if its workers share one timeout.
        notice: prints a line.
    """
    return until_over(
        specs,
        partial(_next_studies, notice=notice),
        lambda spec, waits: session.run(spec, observer(spec), SharedRun(name=run, waits=waits)),
        waits=len(specs) == 1,
    )


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
