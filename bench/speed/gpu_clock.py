"""How much do the ratios of pairs scatter on a GPU, and how much of that is the host's?

    python -m bench.speed.gpu_clock [--models SD1.5,SDXL] [--batches 1,4,8] [--steps 20] [--pairs 8]

The baseline and three settings are timed in pairs with the baseline, on full-size pipelines with
random weights in half precision, in two ways: one batch after the other, as in a trial, and with
the steps of both interleaved, where the GPU is waited for before each step. The scatter is the
standard deviation of the logarithm of a pair's ratio, from prompts to pixels, and for batches also
of denoising by the GPU's events, which include the time in which it waits for the host. `busy` is
the share of the baseline's denoising in which the GPU computed, as its driver reports it.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from bench.lib.full_size import build
from bench.lib.miniature import captions, conditions, quiet
from tuner.measure.device import describe
from tuner.measure.evaluation import Evaluation
from tuner.measure.interleave import interleaved, one_by_one
from tuner.pipelines.call_arguments import text_to_image
from tuner.setting import Setting
from tuner.size import Size

SETTINGS = (
    Setting(),
    Setting.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}}),
    Setting.of({"tome": {"ratio": 0.5, "max_downsample": 1}}),
    Setting.of({"tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2}}),
)
WAYS = (one_by_one, interleaved)
TITLES = (
    "model",
    "batch",
    "setting",
    "speedup",
    "with steps interleaved",
    "scatter",
    "with steps interleaved",
    "of denoising, by events",
    "busy",
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
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}", flush=True)
    for model in args.models.split(","):
        pipeline = build(model, dtype=torch.float16, device="cuda:0")
        square = Size(SIDES[model], SIDES[model])
        for size in map(int, args.batches.split(",")):
            evaluation = Evaluation(
                pipeline=pipeline,
                device="cuda:0",
                steps=args.steps,
                prompts=captions("search", size),
                metric=NoScore(),
                size=square,
                call=text_to_image(steps=args.steps, guidance_scale=7.5, size=square),
                batch_size=size,
            )
            for setting in SETTINGS:
                print(row(evaluation, model, setting, args.pairs), flush=True)
        del pipeline, evaluation
        torch.cuda.empty_cache()


def row(evaluation: Evaluation, model: str, setting: Setting, count: int) -> str:
    """A row of the table: `count` pairs of the baseline and the setting, in each of both ways."""
    pairs = evaluation.pairs
    pairs.steps([setting])  # warm-up
    timings = [pairs.none_yet(1.0, evaluation.batch_size) for _ in WAYS]
    for _ in range(count):
        for place, way in enumerate(WAYS):
            _, _, timings[place] = pairs.pair(setting, evaluation.batches()[0], timings[place], way)
    of_batches = timings[0]
    sides = zip(of_batches.baseline, of_batches.accelerated, strict=True)
    by_events = [before.denoising / after.denoising for before, after in sides]
    shares = [batch.busy for batch in of_batches.baseline if batch.busy is not None]
    cells = (
        model,
        str(evaluation.batch_size),
        str(setting) if setting.accelerators else "baseline",
        *(f"{np.median(way.ratios):.3f}×" for way in timings),
        *(scatter(way.ratios) for way in timings),
        scatter(by_events),
        f"{np.mean(shares):.0%}" if shares else "-",
    )
    return f"| {' | '.join(cells)} |"


def scatter(ratios: Sequence[float]) -> str:
    """The standard deviation of the logarithms."""
    return f"{np.log(ratios).std(ddof=1):.1%}"


if __name__ == "__main__":
    main()
