"""`tuner show --cost`: what a study has cost, by purpose and by trial."""

from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from tuner.describe import in_baselines
from tuner.formatting import percent
from tuner.measure.account import Account, Purpose
from tuner.study.costs import StudyCosts, read_costs

NONE = "was measured by a version of the tuner that did not record costs"

COLUMNS = (  # of the table of trials
    "trial",
    "seconds\nin all",
    "pictures\nscored",
    "pictures\nfor timing",
    "pictures\nfor warm-up",
    "seconds\nof scoring",
    "seconds\nof the rest",
)


def show_costs(studies: list[optuna.Study], console: Console) -> None:
    """Print what each study has cost."""
    for study in studies:
        costs = read_costs(study)
        if not costs.total.seconds:
            console.print(f"{study.study_name} {NONE}", highlight=False, markup=False)
            continue
        console.print(purposes_table(study.study_name, costs))
        for line in summary(costs):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print(trials_table(study.study_name, costs))


def purposes_table(name: str, costs: StudyCosts) -> Table:
    """Seconds and pictures by purpose."""
    total = costs.total
    table = Table(title=f"{name}: cost by purpose")
    table.add_column("purpose")
    for title in ("seconds", "share", "pictures"):
        table.add_column(title, justify="right", no_wrap=True)
    for purpose in Purpose:
        seconds = total.seconds.get(purpose, 0.0)
        share = seconds / total.total_s if total.total_s else 0.0
        pictures = total.pictures.get(purpose, 0)
        table.add_row(purpose.value, f"{seconds:.1f}", percent(share, 0), str(pictures or ""))
    pictures = sum(total.pictures.values())
    table.add_section()
    table.add_row("in all", f"{total.total_s:.1f}", "", str(pictures))
    return table


def summary(costs: StudyCosts) -> list[str]:
    """The costs in units of the baseline, and which shares were well spent."""
    total, lines = costs.total, []
    if costs.baseline_s:
        units = in_baselines(total.total_s, costs)
        lines.append(f"in all, {units} ({costs.baseline_s:.1f} s)")
    if total.graphs:
        compiling = total.seconds.get(Purpose.COMPILING, 0.0)
        lines.append(f"torch.compile took {compiling:.1f} s for {total.graphs} graphs")
    if costs.scored_share is not None:
        scored = percent(costs.scored_share, 0)
        lines.append(f"of the pictures generated after the baseline, {scored} were scored")
    if costs.outside_share is not None:
        outside = percent(costs.outside_share, 0)
        lines.append(
            f"apart from loading and waiting, {outside} of the time was spent outside the pipeline"
        )
    return lines


def trials_table(name: str, costs: StudyCosts) -> Table:
    """Seconds and pictures of each trial, and in the row `none` those that belong to no trial."""
    table = Table(title=f"{name}: cost by trial")
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for number, account in costs.trials.items():
        table.add_row(str(number), *_row(account))
    table.add_section()
    table.add_row("none", *_row(costs.others))
    return table


def _row(account: Account) -> list[str]:
    seconds, pictures = account.seconds, account.pictures
    return [
        f"{account.total_s:.1f}",
        *(
            str(pictures.get(purpose, 0) or "")
            for purpose in (Purpose.SCORED, Purpose.TIMING, Purpose.WARM_UP)
        ),
        *(f"{seconds.get(purpose, 0.0):.2f}" for purpose in (Purpose.SCORING, Purpose.REST)),
    ]


def costs_as_json(study: optuna.Study) -> dict[str, Any]:
    """Seconds and pictures by purpose, in all and of each trial; for scripts."""
    costs = read_costs(study)
    return {
        "total": costs.total.stored() | {"total_s": round(costs.total.total_s, 4)},
        "baseline_s": costs.baseline_s,
        "trials": {str(number): account.stored() for number, account in costs.trials.items()},
        "others": costs.others.stored(),
    }
