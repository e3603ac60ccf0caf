"""The miniature's prompts: captions of scenes that it was not trained on."""

from pathlib import Path
from typing import ClassVar

from tuner.errors import UsageError
from tuner.prompts import enough

FOLDER = Path(__file__).parent.parent / "models" / "miniature" / "captions"


class Miniature:
    """Three disjoint pools: 'search', 'verify', and 'truth' for the benchmarks."""

    name: ClassVar[str] = "miniature"

    def load(self, count: int, pool: str = "search", most: int | None = None) -> list[str]:
        """At least `count` and up to `most` captions of the pool; see `PromptSet.load`."""
        pools = sorted(path.stem for path in FOLDER.glob("*.txt"))
        if pool not in pools:
            raise UsageError(f"unknown pool {pool!r}; known: {', '.join(pools)}")
        captions = (FOLDER / f"{pool}.txt").read_text().splitlines()
        return enough(captions, count, f"the miniature's {pool} pool", most)


component = Miniature()
