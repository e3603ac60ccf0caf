"""`tuner doctor`: what was found, for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuner.doctor.examine import can_search
from tuner.doctor.finding import Finding, Status

STYLES = {Status.OK: "green", Status.NOTE: "yellow", Status.MISSING: "bold red"}


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each finding, what to do below it, and whether a search can run."""
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.text)
        if finding.remedy is not None:
            text.append(f"\n→ {finding.remedy}", style="bold")
        status = Text(finding.status.value, style=STYLES[finding.status])
        table.add_row(status, finding.name, text)
    console.print(table)
    missing = [finding.name for finding in findings if finding.status is Status.MISSING]
    verdict = f"a search cannot run here; missing: {', '.join(missing)}"
    if can_search(findings):
        verdict = "a search can run here"
    console.print(verdict, highlight=False, markup=False)
