"""What the benchmarks share."""

from pathlib import Path

DATA = Path(__file__).parent.parent / "data"  # committed: truth tables, scores for `coverage`
