"""Printing lines for people."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def print_lines(lines: Iterable[str], console: "Console", style: str | None = None) -> None:
    """Print lines without wrapping them and without reading markup in them."""
    for line in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
