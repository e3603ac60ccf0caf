"""The end of a run of several studies: one front file, one report, and one line for each study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.events import JsonLines, studies_finished
from tuner.cli.printing import print_lines
from tuner.errors import UnreachedError
from tuner.fleet.needs import needs_of
from tuner.formatting import count
from tuner.params.write import document, has_baseline, write
from tuner.places import check_file
from tuner.search.goal import Goal
from tuner.spec import StudySpec
from tuner.storage.database import Storage
from tuner.study.results import read_results


@dataclass(frozen=True, kw_only=True)
class EndFiles:
    """The files that are written when all studies have been run; None writes none."""

    front: Path | None = None  # search_params.json
    report: Path | None = None  # an HTML page

    def check(self) -> None:
        """Raise `UsageError` for a file that could not be written at the end."""
        for file in (self.front, self.report):
            if file is not None:
                check_file(file)

    def write(self, studies: Sequence[optuna.Study]) -> str | None:
        """Write the files of these studies; returns a line that names them."""
        studies = [study for study in studies if has_baseline(study)]
        written = [file for file in (self.front, self.report) if file is not None]
        if not studies or not written:
            return None
        if self.front is not None:
            write(self.front, document(studies))
        if self.report is not None:
            from tuner.report.write import write_report  # takes a second to import

            write_report(studies, self.report)
        files = " and ".join(map(str, written))
        return f"wrote {files} ({count(len(studies), 'study', 'studies')})"


def studies_of(
    specs: Sequence[StudySpec], storage: Storage, run: Iterable[str]
) -> list[optuna.Study]:
    """The studies of a sweep, in the order of its specs.

    `run` are the names of those that this run searched: only names, because each study that a run
    has opened keeps connections to the database.
    """
    opened = [each.study for each in needs_of(specs, storage)]
    names = [study.study_name for study in opened if study is not None]
    return [storage.study(name) for name in dict.fromkeys((*names, *run))]


def unreached(
    specs: Sequence[StudySpec], storage: Storage, run: Mapping[str, str] | None = None
) -> dict[str, str]:
    """By the name of each study that has not reached its goal, why, in a line.

    Args:
        specs: the studies.
        storage: their database.
        run: the same of the studies that this process ran. It counts for those that cannot be found
            in the database without their pipeline; others may have reached their goal since.
    """
    reasons = dict(run or {})
    for needs in needs_of(specs, storage):
        if needs.study is None or not has_baseline(needs.study):
            continue
        goal, name = Goal.of(needs.spec), needs.study.study_name
        reasons.pop(name, None)
        if goal.reached(read_results(needs.study)) is None:
            reasons[name] = f"{name}: {'; '.join(answer(needs.study, goal))}"
    return reasons


def end_run(
    studies: Sequence[optuna.Study],
    missed: Mapping[str, str],
    files: EndFiles,
    console: Console,
    lines: JsonLines | None,
) -> None:
    """Write the files at the end of a run, and name them.

    Args:
        studies: all studies of the run.
        missed: by name, why a study did not reach its goal; see `unreached`.
        files: what is written.
        console: where a line is printed.
        lines: where the last event of several studies is written; None writes none.

    Raises:
        UnreachedError: a study did not reach its goal.
    """
    written = files.write(studies)
    print_lines([] if written is None else [written], console)
    if lines is not None:
        lines.write(studies_finished(studies, files.front, files.report))
    if missed:
        raise UnreachedError("; ".join(missed.values()))
