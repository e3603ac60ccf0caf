"""The table of docs/variants.md: written from cells, and read back."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from tests.accelerators.cases import Names
from tests.variants.cell import REFUSED, RIGHT, Cell
from tests.variants.variant import Variant

Table = dict[str, dict[Names, Cell]]  # by the title of a variant

FAMILIES = {
    "sd": "Stable Diffusion 1 and 2",
    "sdxl": "SDXL",
    "pixart": "PixArt",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
}
TICK = "✓"
INTRODUCTION = """# Variants of pipelines

How people run their pipelines, and what each accelerator does then. This page is written by
`python -m tests.variants`, which draws every cell with tiny pipelines of the real classes and
random weights on a CPU; a test draws a sample of the cells anew.

✓ means: with a setting that computes what the plain pipeline computes, the pictures are the same
bit for bit; with a strong setting they are finite, other than the plain ones, the same when drawn
again, in whatever order the accelerators are named, and the same alone as in a batch; and
afterwards the plain pipeline draws as before, bit for bit. A number means: refused before the first
picture is finished, with the message of this number [below](#messages). Each accelerator has one
strong setting here; how fast it is, and how good the pictures are, is for a study to find out.

An accelerator that is refused in every variant is listed below the table instead.
"""


def written(table: Table, variants: Sequence[Variant], columns: Sequence[Names]) -> str:
    """The page, from the cells of all variants."""
    lines = sorted({cell.line for row in table.values() for cell in row.values() if cell.line})
    numbers = {line: number for number, line in enumerate(lines, start=1)}
    parts = [INTRODUCTION]
    for family, rows in groupby(variants, key=lambda row: row.family):
        parts.append("\n".join(_section(family, list(rows), table, columns, numbers)))
    parts.append("\n".join(["## Messages", "", *(f"{n}. {line}" for line, n in numbers.items())]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _section(
    family: str,
    rows: Sequence[Variant],
    table: Table,
    columns: Sequence[Names],
    numbers: Mapping[str, int],
) -> Iterator[str]:
    fitting = [
        names
        for names in columns
        if any(table[row.title][names].verdict != REFUSED for row in rows)
    ]
    yield f"## {FAMILIES[family]}"
    yield ""
    yield f"| {family} | {' | '.join(map(column_title, fitting))} |"
    yield "|---" * (1 + len(fitting)) + "|"
    for row in rows:
        cells = [_symbol(table[row.title][names], numbers) for names in fitting]
        yield f"| {row.name} | {' | '.join(cells)} |"
    others = [names for names in columns if names not in fitting]
    if others:
        yield ""
        yield "Refused in every variant:"
        yield ""
    for names in others:
        cells = dict.fromkeys(_symbol(table[row.title][names], numbers) for row in rows)
        yield f"- {column_title(names)}: {', '.join(cells)}"


def read(page: str) -> Table:
    """The cells of a page; where an accelerator is not in a family's table there are none."""
    text, _, below = page.partition("## Messages")
    lines = dict(row.split(". ", 1) for row in below.strip().splitlines())
    table: Table = {}
    family: str = ""
    columns: list[Names] = []
    for row in text.splitlines():
        first, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        if first in FAMILIES and cells:
            family, columns = first, [tuple(cell.split(" + ")) for cell in cells]
        elif row.startswith("| "):
            table[f"{family}: {first}"] = {
                names: Cell(verdict=RIGHT)
                if cell == TICK
                else Cell(verdict=REFUSED, line=lines[cell])
                for names, cell in zip(columns, cells, strict=True)
            }
    return table


def column_title(names: Names) -> str:
    return " + ".join(names)


def _symbol(cell: Cell, numbers: Mapping[str, int]) -> str:
    if cell.verdict == RIGHT:
        return TICK
    return str(numbers[cell.line]) if cell.verdict == REFUSED else f"**{cell.verdict}**"
