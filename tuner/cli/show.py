"""`tuner show`: the list of studies, fronts, costs, or one trial, read from the database alone."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.cost import costs_as_json, show_costs
from tuner.cli.printing import print_lines
from tuner.cli.reference import print_reference
from tuner.cli.studies import names_of_studies, studies_table, summary_of
from tuner.cli.tables import front_table, remarks
from tuner.cli.trial_page import TrialPage
from tuner.errors import UsageError
from tuner.params.write import document, studies_with_baseline
from tuner.search.goal import Goal
from tuner.storage.database import Storage
from tuner.study.results import read_results


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be shown of which studies."""

    what: Literal["list", "fronts", "costs", "trial"]
    storage: Storage
    studies: list[optuna.Study]
    trial: int = 0


def request_of(args: argparse.Namespace, report: Callable[[str], None]) -> Request:
    """What the arguments of `tuner show` ask for.

    Args:
        args: `storage`, `studies`, `study`, `trial` and `cost`.
        report: called with a line for each study that is left out.

    Raises:
        UsageError: there is no database or study, or no such study or trial.
    """
    storage = Storage(args.storage, create=False)
    known = names_of_studies(storage, args.storage)
    names = list(dict.fromkeys([*args.studies, *(args.study or [])]))
    studies = [storage.study(name) for name in names or known]
    if args.trial is not None:
        if len(studies) > 1:
            raise UsageError("--trial needs one study: `tuner show STUDY --trial N`")
        return Request(what="trial", storage=storage, studies=studies, trial=args.trial)
    if not names and len(known) > 1 and not args.cost:
        return Request(what="list", storage=storage, studies=studies)
    studies = studies_with_baseline(studies, report, required=bool(names))
    return Request(what="costs" if args.cost else "fronts", storage=storage, studies=studies)


def show_text(request: Request, console: Console) -> None:
    """Print what is asked for, for people."""
    if request.what == "list":
        console.print(studies_table([summary_of(study) for study in request.studies]))
        print_lines(["`tuner show STUDY` prints the front of one of them"], console, style="dim")
    elif request.what == "costs":
        show_costs(request.studies, console)
    elif request.what == "trial":
        console.print(_page(request).as_table())
    else:
        _show_fronts(request.studies, console)


def show_json(request: Request) -> dict[str, Any]:
    """What is asked for, as a JSON document; fronts have the form of `search_params.json`."""
    if request.what == "list":
        return {"studies": [summary_of(study).as_json() for study in request.studies]}
    if request.what == "costs":
        return {"studies": {study.study_name: costs_as_json(study) for study in request.studies}}
    if request.what == "trial":
        return _page(request).as_json()
    return document(request.studies)


def _page(request: Request) -> TrialPage:
    (study,) = request.studies
    return TrialPage.of(study, request.trial, request.storage)


def _show_fronts(studies: list[optuna.Study], console: Console) -> None:
    """Print each study's Pareto front, the remarks on its results, and its best setting."""
    for study in studies:
        goal = Goal.of_request(study.user_attrs.get("request", {}))
        results = goal.admitted(read_results(study))
        title = f"{study.study_name}: Pareto front"
        console.print(front_table(goal.front(results), goal.limits, title))
        print_lines(remarks(results), console, style="dim")
        print_reference(study, goal, results, console)
        print_lines(answer(study, goal), console)
