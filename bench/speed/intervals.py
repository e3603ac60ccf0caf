"""How often does the interval of a trial's speedup contain the speedup of a long measurement?

    python -m bench.speed.intervals [--repeat 6] [--prompts 8] [--pairs 48]

Real searches of the miniature by `frontier`, with default timing, over the same 19 settings of
DeepCache, ToMe and T-GATE: each ends once it has tried all of them. A trial's speedup is predicted
from timed steps and earlier trials, and a pair of batches confirms it; what counts is the interval
that the trial has when it ends. Afterwards each setting is timed alone in up to `--pairs` pairs,
until its interval is ±0.5%. The searches have different seeds, and so other orders of the settings.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from statistics import median
from typing import Any

from bench.lib.long_timing import PAIRS, REFERENCE
from bench.lib.miniature import conditions, quiet
from tuner.measure.baseline_store import InMemoryStore
from tuner.measure.statistics import Estimate, half_width
from tuner.session import Session
from tuner.setting import Setting
from tuner.spec import StudySpec
from tuner.study.schema import SETTING

KNOBS: Mapping[str, Mapping[str, tuple[int | float, ...]]] = {
    "deepcache": {"cache_interval": (2, 4), "cache_branch_id": (0, 3)},
    "tome": {"ratio": (0.5,), "max_downsample": (1,)},
    "tgate": {"gate_step": (10,), "sp_interval": (5,), "fi_interval": (1,), "warmup": (2,)},
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial's speedup, and whether it was predicted."""

    setting: Setting
    speedup: Estimate
    source: str | None

    def contains(self, value: float) -> bool:
        """Whether the interval contains a speedup."""
        return self.speedup.low <= value <= self.speedup.high


def main() -> None:
    args = arguments()
    quiet()
    print(conditions(), flush=True)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.repeat):
            trials += search(Path(folder) / f"{seed}.db", 1000 + seed, args)
            print(f"{len(trials)} trials after search {seed + 1}", flush=True)
    truth = long_measurements({trial.setting for trial in trials}, args)
    print("\n".join(["", *table(trials, truth)]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=6, help="searches")
    parser.add_argument("--prompts", type=int, default=8, help="of a trial")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--resolution", type=int, default=64, help="pixels of a side")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of a long measurement, at most")
    return parser.parse_args()


def search(file: Path, seed: int, args: argparse.Namespace) -> Iterator[Trial]:
    """The trials of one search; no setting breaks its limit."""
    outcome = Session().run(spec(args, seed=seed, storage=f"sqlite:///{file}"))
    for trial in outcome.study.get_trials(deepcopy=False):
        stored = trial.user_attrs
        if "speedup_ci" in stored and stored[SETTING]:
            low, high = stored["speedup_ci"]
            yield Trial(
                setting=Setting.of(stored[SETTING]),
                speedup=Estimate(value=stored["speedup"], low=low, high=high),
                source=stored.get("speedup_from"),
            )


def long_measurements(settings: set[Setting], args: argparse.Namespace) -> dict[Setting, Estimate]:
    """The speedups of settings, each timed alone."""
    evaluation = Session().evaluation(spec(args))
    evaluation = replace(evaluation, most_pairs=args.pairs, precision=REFERENCE)
    store = InMemoryStore()
    return {setting: evaluation.time(setting, store).speedup for setting in settings}


def spec(args: argparse.Namespace, **changes: Any) -> StudySpec:
    """The study of a search."""
    return StudySpec(
        pipe="miniature",
        steps=args.steps,
        knobs=KNOBS,
        num_samples=args.prompts,
        max_samples=args.prompts,
        resolution=args.resolution,
        req_score_loss=0.99,
        trials=100,
        reference=False,
        **changes,
    )


def table(trials: list[Trial], truth: dict[Setting, Estimate]) -> Iterator[str]:
    """The lines of the table: all trials, and those with each source of their speedup."""
    known = median(half_width(speedup) for speedup in truth.values())
    yield f"{len(truth)} settings, timed alone to ±{known:.1%} in the median"
    yield ""
    yield "| speedup from | trials | intervals that contain it | half-width | error: median, most |"
    yield "|---|---|---|---|---|"
    for name, source in (("all", ...), ("the model", "model"), ("few pairs", "few pairs")):
        chosen = [trial for trial in trials if source is ... or trial.source == source]
        if not chosen:
            continue
        covered = sum(trial.contains(truth[trial.setting].value) for trial in chosen)
        errors = [abs(log(t.speedup.value / truth[t.setting].value)) for t in chosen]
        width = median(half_width(trial.speedup) for trial in chosen)
        yield (
            f"| {name} | {len(chosen)} | {covered} ({covered / len(chosen):.0%}) | ±{width:.1%} "
            f"| {median(errors):.1%}, {max(errors):.1%} |"
        )


if __name__ == "__main__":
    main()
