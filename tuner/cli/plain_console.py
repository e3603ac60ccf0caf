"""A console whose text cannot control the terminal, whatever a database or a file holds."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from tuner.printable import printable


class PlainConsole(Console):
    """Prints what is rendered without its control characters; the console's own styles stay.

    They are left out, not marked: rich counts them as no columns when it makes room for a text.
    """

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """The segments of a renderable, each with printable text."""
        for text, style, control in super().render(*args, **options):
            yield Segment(text if control else printable(text, ""), style, control)
