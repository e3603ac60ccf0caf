"""The size of pictures, and how studies and files name it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

LONGEST_SIDE = 8192  # of a picture in pixels


class Size(NamedTuple):
    """Height and width of a picture in pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, evaluation: Mapping[str, Any]) -> Self | None:
        """The size in a study's or a file's `evaluation`; None if it has none."""
        if "height" in evaluation and "width" in evaluation:
            return cls(int(evaluation["height"]), int(evaluation["width"]))
        resolution = evaluation.get("resolution")
        if isinstance(resolution, str):
            width, _, height = resolution.partition("x")
            return cls(int(height), int(width))
        return None if resolution is None else cls(int(resolution), int(resolution))

    def __str__(self) -> str:
        """Width and height, in the order in which people write them: '832x1216'."""
        return f"{self.width}x{self.height}"

    @property
    def resolution(self) -> int | str:
        """How studies and stored baselines name it: the side of a square, else '832x1216'."""
        return self.height if self.height == self.width else str(self)

    def in_file(self) -> dict[str, int]:
        """How `search_params.json` names it: one side of a square, else both."""
        if self.height == self.width:
            return {"resolution": self.height}
        return {"height": self.height, "width": self.width}
