"""`tuner run --dry-run`: what the studies will need; nothing is written and no model is loaded."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from tuner.cli.events import JsonLines, dry_run_event
from tuner.cli.printing import print_lines
from tuner.errors import about
from tuner.fleet.costs import Costs
from tuner.fleet.needs import Needs, needs_of
from tuner.fleet.order import ordered
from tuner.formatting import count, file_size, span
from tuner.passwords import hidden
from tuner.spec import StudySpec
from tuner.storage.address import check_address, file_of
from tuner.storage.database import Storage

HOUR_S = 3600.0


def costs_of(specs: Sequence[StudySpec]) -> Costs:
    """What the studies need and are expected to cost; the database is read where there is one."""
    storage = None
    with about("storage"):
        check_address(specs[0].storage)
        file = file_of(specs[0].storage)
        if file is None or file.is_file():
            storage = Storage(specs[0].storage, create=False)
    return Costs(storage, needs_of(ordered(specs), storage))


def text_of(costs: Costs, *, pictures: bool) -> list[str]:
    """The lines that are printed; `pictures` is whether any will be kept."""
    database = hidden(costs.needs[0].spec.storage)
    lines = [_studies(costs), *_device_time(costs, database)]
    disk = f"disk space: about {file_size(costs.database_bytes)} for {database}"
    kept = f", at most {file_size(costs.picture_bytes)} for pictures" if pictures else ""
    return [*lines, disk + kept, "nothing was measured or stored: this was a dry run"]


def event_of(costs: Costs, *, pictures: bool) -> dict[str, Any]:
    """The same as an event of `--json`."""
    expected = [costs.expected(each) for each in costs.left]
    known = [each.seconds for each in expected if each.seconds is not None]
    return {
        "studies": len(costs.needs),
        "complete": len(costs.needs) - len(costs.left),
        "trials": _trials(costs.left),
        "device_s": round(sum(known), 3),
        "unknown": [each.spec.triple for each in costs.left if _is_unknown(costs, each)],
        "database_bytes": costs.database_bytes,
        "picture_bytes": costs.picture_bytes if pictures else 0,
    }


def _studies(costs: Costs) -> str:
    complete = len(costs.needs) - len(costs.left)
    begun = sum(each.study is not None for each in costs.left)
    studies = count(len(costs.needs), "study", "studies")
    state = f"{complete} complete, {begun} begun, {len(costs.left) - begun} not begun"
    trials = _trials(costs.left)
    left = "an unknown number of trials" if trials is None else f"at most {count(trials, 'trial')}"
    return f"{studies}: {state}" + (f"; {left} left" if costs.left else "")


def _trials(left: Sequence[Needs]) -> int | None:
    """The trials that are left; None where that of a study is not known."""
    trials = [each.left for each in left]
    return None if None in trials else sum(each or 0 for each in trials)


def _device_time(costs: Costs, database: str) -> Iterator[str]:
    expected = [costs.expected(each) for each in costs.left]
    known = [each for each in expected if each.seconds is not None]
    if known or not costs.left:
        total = _hours(sum(each.seconds or 0.0 for each in known))
        about_or_most = "at most" if any(each.at_most for each in known) else "about"
        of = f" for {count(len(known), 'study', 'studies')}" if len(known) < len(expected) else ""
        basis = f", judging by what studies in {database} took" if known else ""
        yield f"device time: {about_or_most} {total}{of}{basis}"
    for spec in _first_of_each_model([n.spec for n in costs.left if _is_unknown(costs, n)]):
        yield (
            f"device time of {spec.pipe or spec.triple}: not known, because this database has no "
            "study of this model and size of pictures on this kind of device; "
            f"{_what_would_tell(spec)}"
        )


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR_S:,.1f} hours" if seconds >= HOUR_S else span(seconds)


def _is_unknown(costs: Costs, needs: Needs) -> bool:
    return costs.expected(needs).seconds is None


def _first_of_each_model(specs: Sequence[StudySpec]) -> list[StudySpec]:
    """The first, and so the shortest, study of each model."""
    by_model: dict[Any, StudySpec] = {}
    for spec in specs:
        by_model.setdefault(spec.pipe or spec.triple, spec)
    return list(by_model.values())


def _what_would_tell(spec: StudySpec) -> str:
    """The short run after which the device time is known."""
    if spec.pipeline is not None or spec.trials is None:
        return "a run of this study will show it"
    return (
        "a short study will show it: the same command, without --dry-run, with "
        f"--pipe {spec.pipe} --sched '{spec.sched}' --steps {spec.steps} --trials 3"
    )


def dry_run(
    specs: Sequence[StudySpec], console: Console, lines: JsonLines | None, *, pictures: bool
) -> None:
    """Print what the studies will need; write it as an event where there are `lines` for it."""
    costs = costs_of(specs)
    print_lines(text_of(costs, pictures=pictures), console)
    if lines is not None:
        lines.write(dry_run_event(event_of(costs, pictures=pictures)))
