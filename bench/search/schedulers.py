"""Do two schedulers lose the same with one setting? Correlations over prompts, from truth tables.

    python -m bench.search.schedulers

Two tables of one product with different schedulers have the same prompts and the same noise. For
each setting that loses between 0.5 and 4% with the first scheduler, the correlation of the losses
of its pictures under both.
"""

import numpy as np

from bench.lib.miniature import quiet
from bench.lib.tables import PRODUCTS
from bench.lib.truth_table import TruthTable

NEAR = 0.005, 0.04  # losses of the settings that count
FEWEST = 20  # prompts that both tables have of a setting
PAIRS = (
    ("tgate-DDIM-20", "tgate-DPM-Solver++-20"),
    ("deepcache-tome-DDIM-20", "deepcache-tome-DPM-Solver++-20"),
)


def main() -> None:
    quiet()
    wanted = {name for names in PAIRS for name in names}
    tables = {p.file.stem: TruthTable.of(p) for p in PRODUCTS if p.file.stem in wanted}
    print("| tables | settings | correlation: median, tenth |")
    print("|---|---|---|")
    for names in PAIRS:
        found = correlations(*(tables[name] for name in names))
        low, middle = np.quantile(found, [0.1, 0.5])
        print(f"| {' and '.join(names)} | {len(found)} | {middle:.2f}, {low:.2f} |")


def correlations(first: TruthTable, second: TruthTable) -> list[float]:
    """For each setting that both tables hold, the correlation of its losses."""
    found = []
    for setting in first.row.keys() & second.row.keys():
        row, other = first.row[setting], second.row[setting]
        losses = _losses(first, row), _losses(second, other)
        count = min(map(len, losses))
        one, two = (each[:count] for each in losses)
        known = np.isfinite(one) & np.isfinite(two)
        if NEAR[0] < first.table.losses[row] < NEAR[1] and known.sum() >= FEWEST:
            found.append(float(np.corrcoef(one[known], two[known])[0, 1]))
    return found


def _losses(truth: TruthTable, row: int) -> np.ndarray:
    """By how much each picture of a setting scores less than the baseline's, shape (prompts,)."""
    losses: np.ndarray = truth.table.baseline - truth.table.scores[row]
    return losses


if __name__ == "__main__":
    main()
