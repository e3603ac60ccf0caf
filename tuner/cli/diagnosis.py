"""`tuner doctor`: what was found, for people. Printed plainly: packages may be missing."""

from collections.abc import Iterator, Sequence

from tuner.doctor.examine import can_search
from tuner.doctor.finding import Finding, Status


def report(findings: Sequence[Finding], pipe: str | None) -> Iterator[str]:
    """A line for each finding, with what to do below it; last, whether a search can run.

    Args:
        findings: what was found.
        pipe: the model that the findings are about; None for all.
    """
    width = max(len(finding.name) for finding in findings)
    indent = " " * (9 + width)
    for finding in findings:
        yield f"{finding.status.value:7}  {finding.name:{width}}  {finding.text}"
        if finding.remedy is not None:
            yield f"{indent}  → {finding.remedy}"
    missing = [finding.name for finding in findings if finding.status is Status.MISSING]
    if not can_search(findings):
        yield f"a search cannot run here; missing: {', '.join(dict.fromkeys(missing))}"
    elif pipe is None:
        yield "a search can run here; `tuner doctor --pipe SDXL` looks at what one model needs"
    else:
        yield f"a search of {pipe} can run here"
