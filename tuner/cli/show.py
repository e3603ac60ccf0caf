"""What ``tuner show`` prints: each study's front and its answer, from the database alone."""

import optuna
from rich.console import Console

from tuner.cli.answer import answer
from tuner.cli.tables import front_table, remarks
from tuner.search.goal import Goal
from tuner.study.results import pareto_front, read_results


def show(studies: list[optuna.Study], console: Console) -> None:
    """Print the front of each study, and its answer."""
    for study in studies:
        goal = Goal.of_request(study.user_attrs.get("request", {}))
        results = goal.admitted(read_results(study))
        title = f"{study.study_name}: Pareto front"
        console.print(front_table(pareto_front(results, goal.limits), goal.limits, title))
        print_lines(remarks(results), console, style="dim")
        print_lines(answer(study, goal), console)


def print_lines(lines: list[str], console: Console, style: str | None = None) -> None:
    """Print lines as they are, without breaking them."""
    for line in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
