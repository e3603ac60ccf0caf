"""The report as one HTML page that loads nothing else."""

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tuner import describe, formatting
from tuner.measure.account import Purpose
from tuner.report import apply_lines
from tuner.report.figures.style import COLOURS, DARK, inline
from tuner.report.sections import Drawn, Overview, StudySection
from tuner.study.formatting import timing
from tuner.study.verdicts import reference_verdict, verdict, verified_text

SHOWN = 200  # trials in the table of a study; the CSV file has all of them
SHOWN_OF_SWEEP = 50  # trials of each study, where they are several
OPEN = 40  # trials up to which the table is unfolded
FILTERS = (
    formatting.times,
    formatting.times_interval,
    formatting.percent,
    formatting.percent_interval,
    formatting.plain,
    formatting.plain_interval,
    formatting.seconds,
    formatting.duration,
    formatting.short_percent,
    formatting.count,
)


def render(sections: Sequence[StudySection], overview: Overview | None) -> str:
    """The page of these studies; with the overview of a sweep where they are several."""
    return (
        _environment()
        .get_template("page.html")
        .render(
            sections=sections,
            overview=overview,
            rows_shown=SHOWN if overview is None else SHOWN_OF_SWEEP,
            made=datetime.now().astimezone(),
            version=version("diffusion-tuner"),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tuner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    environment.globals |= {
        "apply_lines": apply_lines,
        "colours": COLOURS,
        "dark_colours": DARK,
        "describe": describe,
        "drawing": _drawing,
        "purposes": list(Purpose),
        "rows_open": OPEN,
        "reference_verdict": reference_verdict,
        "timing": timing,
        "verdict": verdict,
        "verified_text": verified_text,
    }
    return environment


def _drawing(drawn: Drawn) -> Markup:
    return Markup(inline(drawn.svg, drawn.id, str(escape(drawn.caption))))
