"""`tuner show`: the Pareto front and the result of each study, read from the database alone."""

import optuna
from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.reference import print_reference
from tuner.cli.tables import front_table, remarks
from tuner.search.goal import Goal
from tuner.study.results import pareto_front, read_results


def show(studies: list[optuna.Study], console: Console) -> None:
    """Print each study's Pareto front, the remarks on its results, and its best setting."""
    for study in studies:
        goal = Goal.of_request(study.user_attrs.get("request", {}))
        results = goal.admitted(read_results(study))
        title = f"{study.study_name}: Pareto front"
        console.print(front_table(pareto_front(results, goal.limits), goal.limits, title))
        print_lines(remarks(results), console, style="dim")
        print_reference(study, results, goal.limits, console)
        print_lines(answer(study, goal), console)


def print_lines(lines: list[str], console: Console, style: str | None = None) -> None:
    """Print lines without wrapping them and without reading markup in them."""
    for line in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
