"""How often the 95% interval of the score loss from 32 prompts covers the true loss.

    python -m bench.quality.coverage [--prompts 1024] [--draws 1000] [--of 32] [--measure]

The true loss is that over the prompts of the truth pool, with DDIM at 20 steps. The scores of each
setting are stored in `bench/data/coverage.npz`. `--measure` measures missing ones first, a block of
prompts for every setting and then the next block; an interrupted run continues.

Prompts are drawn with replacement: then the draws are independent, and what they estimate is
exactly the pool's loss. Without replacement, the loss on 32 of 1,024 prompts would scatter 1.6%
less than on 32 prompts of a user, and the coverage would look better than it is.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from bench.lib import DATA
from bench.lib.miniature import conditions, evaluation_of, quiet
from bench.quality.tradeoff import settings
from tuner.applying.applied import applied
from tuner.measure import statistics
from tuner.measure.cache_keys import changes
from tuner.measure.evaluation import Evaluation
from tuner.measure.pictures import checked
from tuner.setting import Setting

FILE = DATA / "coverage.npz"
ALL = settings()
SETTINGS = [Setting(), *ALL[:21], *ALL[23:25], *ALL[26:33]]  # the baseline, and a spread of 30
BLOCK = 64  # prompts of a setting between two saves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1024)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--of", type=int, default=32, help="prompts in a draw")
    parser.add_argument("--measure", action="store_true", help="measure missing scores first")
    parser.add_argument("--file", type=Path, default=FILE)
    args = parser.parse_args()
    quiet()
    truth = TruthTable.read(args.file)
    if args.measure:
        truth = measured(truth, args.prompts, args.file)
    print_table(truth, args.draws, args.of)


@dataclass(frozen=True, kw_only=True)
class TruthTable:
    """Scores by prompt, a row for each setting; NaN where one was not measured yet."""

    scores: np.ndarray  # (settings, prompts), points
    about: dict[str, object]  # the conditions under which they were measured

    @classmethod
    def read(cls, file: Path) -> "TruthTable":
        """The table in a file; an empty one if there is no file."""
        if not file.exists():
            return cls(scores=np.full((len(SETTINGS), 0), np.nan), about={})
        with np.load(file) as arrays:
            return cls(scores=arrays["scores"], about=json.loads(str(arrays["about"])))

    def write(self, file: Path) -> None:
        """Write the scores atomically, rounded to a thousandth of a point."""
        part = file.with_name("part-" + file.name)
        rounded = self.scores.round(3).astype(np.float32)
        np.savez_compressed(part, scores=rounded, about=json.dumps(self.about, sort_keys=True))
        part.replace(file)

    def whole(self) -> np.ndarray:
        """The scores of the first prompts, up to the first that some setting lacks."""
        missing = np.isnan(self.scores).any(axis=0)
        count = int(missing.argmax()) if missing.any() else len(missing)
        return self.scores[:, :count].astype(float)


def measured(truth: TruthTable, count: int, file: Path) -> TruthTable:
    """Measure missing scores of the first `count` prompts; saves each block."""
    evaluation = evaluation_of("truth", count, batch_size=16)
    about = {k: v for k, v in evaluation.score_parts.items() if k != "prompts"}
    different = changes(truth.about or about, about)
    if different:
        raise SystemExit(f"{file} was measured under other conditions: {', '.join(different)}")
    scores = np.full((len(SETTINGS), max(count, truth.scores.shape[1])), np.nan)
    scores[:, : truth.scores.shape[1]] = truth.scores
    for row, numbers in missing(scores, count):
        scores[row, numbers] = scores_of(evaluation, SETTINGS[row], numbers)
        truth = TruthTable(scores=scores, about=about)
        truth.write(file)
    return truth


def missing(scores: np.ndarray, count: int) -> Iterator[tuple[int, range]]:
    """Rows and blocks of prompts that are not measured yet, block by block."""
    for start in range(0, count, BLOCK):
        numbers = range(start, min(start + BLOCK, count))
        for row in range(len(SETTINGS)):
            if np.isnan(scores[row, numbers]).any():
                yield row, numbers


def scores_of(evaluation: Evaluation, setting: Setting, numbers: range) -> list[float]:
    """The scores of a setting on some prompts."""
    scores: list[float] = []
    with applied(evaluation.pipeline, setting.accelerators, seed=evaluation.seed) as call:
        for start in range(numbers.start, numbers.stop, evaluation.batch_size):
            batch = range(start, min(start + evaluation.batch_size, numbers.stop))
            images = checked(evaluation.generate(call, batch)[0])
            scores += evaluation.metric.score(images, [evaluation.prompts[n] for n in batch])
    return scores


def print_table(truth: TruthTable, draws: int, count: int) -> None:
    """Print the coverage and width of the interval, for each setting and on average."""
    whole = truth.whole()
    print(conditions())
    print(f"truth: {whole.shape[1]} prompts; {draws} draws of {count} with replacement\n")
    print("| setting | true loss | coverage | below | above | mean width |")
    print("|---|---|---|---|---|---|")
    random = np.random.default_rng(0)
    total: list[tuple[float, float]] = []
    others: dict[str, list[tuple[float, float]]] = {}
    for setting, scores in zip(SETTINGS[1:], whole[1:], strict=True):
        loss = 1 - scores.sum() / whole[0].sum()
        chosen = random.integers(0, whole.shape[1], (draws, count))
        estimates = [statistics.score_loss(list(whole[0][c]), list(scores[c])) for c in chosen]
        below = float(np.mean([estimate.high < loss for estimate in estimates]))
        above = float(np.mean([estimate.low > loss for estimate in estimates]))
        width = float(np.mean([estimate.high - estimate.low for estimate in estimates]))
        total.append((1 - below - above, width))
        for name, (low, high) in other_intervals(random, whole[0][chosen], scores[chosen]).items():
            held = np.mean((low <= loss) & (loss <= high))
            others.setdefault(name, []).append((float(held), float(np.mean(high - low))))
        print(
            f"| {setting} | {loss:.2%} | {1 - below - above:.1%} | {below:.1%} | {above:.1%} "
            f"| {width:.2%} |"
        )
    coverage, width = np.mean(total, axis=0)
    print(f"| {len(total)} settings | | {coverage:.1%} | | | {width:.2%} |")
    print("\n| interval | coverage | mean width |\n|---|---|---|")
    for name, figures in {"t, widened on the side of the skew (ours)": total, **others}.items():
        coverage, width = np.mean(figures, axis=0)
        print(f"| {name} | {coverage:.1%} | {width:.2%} |")


def other_intervals(
    random: np.random.Generator, before: np.ndarray, after: np.ndarray, resamples: int = 400
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Other intervals, by name: the ends for each draw. Scores have the shape (draws, prompts)."""
    ends = []
    for old, new in zip(before, after, strict=True):
        loss, error = (float(x[0]) for x in losses(old[None], new[None]))
        chosen = random.integers(0, len(old), (resamples, len(old)))
        drawn, errors = losses(old[chosen], new[chosen])
        low, high = np.quantile(drawn, (0.025, 0.975))
        left, right = np.quantile((drawn - loss) / np.maximum(errors, 1e-9), (0.025, 0.975))
        ends.append((low, high, loss - right * error, loss - left * error))
    low, high, low_t, high_t = np.array(ends).T
    drawn_losses, drawn_errors = losses(before, after)
    half = student.ppf(0.975, before.shape[1] - 1) * drawn_errors
    return {
        "t": (drawn_losses - half, drawn_losses + half),
        "bootstrap, percentiles": (low, high),
        "bootstrap t": (low_t, high_t),
    }


def losses(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row and its standard error, from scores of shape (rows, prompts)."""
    loss = 1 - after.sum(1) / before.sum(1)
    spread = ((before - after) - loss[:, None] * before).std(1, ddof=1)
    return loss, spread / before.shape[1] ** 0.5 / before.mean(1)


if __name__ == "__main__":
    main()
