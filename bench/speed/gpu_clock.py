"""How much do the ratios of pairs scatter on a GPU, and how much of that is the host's?

    python -m bench.speed.gpu_clock [--models SD1.5,SDXL] [--batches 1,4,8] [--steps 20] [--pairs 8]

The baseline and three settings are timed in pairs with the baseline, on full-size pipelines with
random weights in half precision. The scatter is the standard deviation of the logarithm of a pair's
ratio: by the wall clock from prompts to pixels, of denoising by the GPU's events, and with medians
over the steps of each kind, which a trial uses. What medians remove is of single steps, and so the
host's: a GPU that nothing else uses takes equally long for equal steps. `busy` is the share of the
baseline's denoising in which the GPU computed, as its driver reports it.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from bench.lib.full_size import build
from bench.lib.miniature import captions, conditions, quiet
from tuner.measure.device import describe
from tuner.measure.evaluation import Evaluation
from tuner.setting import Setting

SETTINGS = (
    Setting(),
    Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}),
    Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}),
    Setting.of({"tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2}}),
)
SIDES = {"SD1.5": 512, "SD2.1": 768, "SDXL": 1024}  # pixels


class NoScore:
    """Stands in for the score, which is not needed to time batches."""

    identity = "none"

    def score(self, images: list[object], prompts: list[str]) -> list[float]:
        """Zeros."""
        return [0.0] * len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="SD1.5,SDXL")
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=8)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU")
    quiet()
    print(f"{describe('cuda:0')}, {conditions()}; DDIM, {args.steps} steps, {args.pairs} pairs\n")
    titles = ("model", "batch", "setting", "speedup", "wall clock", "events", "medians", "busy")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}", flush=True)
    for model in args.models.split(","):
        pipeline = build(model, dtype=torch.float16, device="cuda:0")
        for size in map(int, args.batches.split(",")):
            evaluation = Evaluation(
                pipeline=pipeline,
                device="cuda:0",
                steps=args.steps,
                prompts=captions("search", size),
                metric=NoScore(),
                resolution=SIDES[model],
                guidance_scale=7.5,
                batch_size=size,
            )
            for setting in SETTINGS:
                print(row(evaluation, model, setting, args.pairs), flush=True)
        del pipeline, evaluation
        torch.cuda.empty_cache()


def row(evaluation: Evaluation, model: str, setting: Setting, count: int) -> str:
    """A row of the table: `count` pairs of the baseline and the setting."""
    numbers, kinds = evaluation.batches()[0], evaluation.step_kinds
    sides = (Setting(), setting)
    for side in sides:
        evaluation.generate_with(side, numbers)
    pairs = [[evaluation.generate_with(side, numbers)[1] for side in sides] for _ in range(count)]
    medians = [
        [
            seconds.by_medians(kinds.of(side) or ())
            for side, seconds in zip(sides, pair, strict=True)
        ]
        for pair in pairs
    ]
    by_medians = [before.whole / after.whole for before, after in medians]
    shares = [before.busy for before, _ in pairs if before.busy is not None]
    cells = (
        model,
        str(evaluation.batch_size),
        str(setting) if setting.accelerators else "baseline",
        f"{np.median(by_medians):.3f}×",
        scatter([before.elapsed / after.elapsed for before, after in pairs]),
        scatter([before.denoising / after.denoising for before, after in pairs]),
        scatter(by_medians),
        f"{np.mean(shares):.0%}" if shares else "-",
    )
    return f"| {' | '.join(cells)} |"


def scatter(ratios: Sequence[float]) -> str:
    """The standard deviation of the logarithms."""
    return f"{np.log(ratios).std(ddof=1):.1%}"


if __name__ == "__main__":
    main()
