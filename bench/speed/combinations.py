"""Speedups of the seven combinations on full-size SD1.5, SD2.1 and SDXL with random weights.

    python -m bench.speed.combinations --device cuda --batch 4         # full size, fp16, 50 steps
    python -m bench.speed.combinations --resolution 64 --steps 8       # on a CPU, in the background

Speedups are medians of paired latency ratios, baseline and settings interleaved. The latent is the
output, as the VAE takes the same time for all. With a batch of one, a fast GPU waits for the host.
T-GATE's gate is at 3/4, 1/2 and 1/4 of the steps. Further rows are the other accelerators that fit.
`GiB` is a GPU's peak memory, the weights included: the greatest of the row's settings, and for
comparison that of the baseline. `published` are published figures with their hardware and steps.
The warm-up of every setting is a short generation that has each kind of step once.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch

from bench.lib.full_size import FAMILIES, build
from bench.lib.miniature import conditions, quiet
from tuner.applying.applied import applied
from tuner.measure.device import PeakMeter, describe, synchronise
from tuner.setting import Params, Setting

MILD: Params = {
    "deepcache": {"cache_interval": 2, "cache_branch_id": 0},
    "tome": {"ratio": 0.3, "max_downsample": 1},
    "tgate": {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 3},
    "deepcache-window": {"cache_interval": 2, "cache_branch_id": 0, "start": 5, "end": 15},
    "pab": {"cross_interval": 2, "self_interval": 1, "warmup": 4},
    "taylorseer": {"cache_interval": 2, "warmup": 3, "max_order": 2},
}
MIDDLE: Params = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "tome": {"ratio": 0.5, "max_downsample": 1},
    "tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2},
    "deepcache-window": {"cache_interval": 3, "cache_branch_id": 0, "start": 3, "end": 18},
    "pab": {"cross_interval": 4, "self_interval": 2, "warmup": 4},
    "taylorseer": {"cache_interval": 3, "warmup": 3, "max_order": 1},
}
AGGRESSIVE: Params = {
    "deepcache": {"cache_interval": 5, "cache_branch_id": 0},
    "tome": {"ratio": 0.75, "max_downsample": 2},
    "tgate": {"gate_step": 5, "sp_interval": 9, "fi_interval": 5, "warmup": 1},
    "deepcache-window": {"cache_interval": 5, "cache_branch_id": 0, "start": 1, "end": 20},
    "pab": {"cross_interval": 6, "self_interval": 4, "warmup": 1},
    "taylorseer": {"cache_interval": 5, "warmup": 1, "max_order": 1},
}
TOGETHER = ("deepcache", "tome", "tgate")  # in every combination
STEP_KNOBS = (
    "gate_step",
    "start",
    "end",
)  # knobs that count steps; their values above are for 20 steps
WARM_STEPS = 6
PUBLISHED = {
    ("SD1.5", "deepcache"): "2.3× (PLMS-50, DeepCache paper)",
    ("SD2.1", "deepcache"): "2.33× 3/0, 3.24× 5/0 (50 steps, A5000, diffusers docs)",
    ("SDXL", "deepcache"): "2.6× (50 steps, README), 2.67× (1080 Ti, T-GATE)",
    ("SD1.5", "tgate"): "1.63× (1080 Ti)",
    ("SD2.1", "tgate"): "1.63× (1080 Ti)",
    ("SDXL", "tgate"): "1.90× (1080 Ti)",
    ("SDXL", "deepcache+tgate"): "3.63× (1080 Ti)",
    ("SD1.5", "tome"): "1.87× at 0.5 (4090, before fused attention)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default=",".join(FAMILIES))
    parser.add_argument("--resolution", type=int, help="default: the model's own")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()
    quiet()
    dtype = torch.float32 if args.device == "cpu" else torch.float16
    about = describe(args.device)
    print(
        f"{about}, {dtype}, {conditions()}; {args.steps} steps, batch {args.batch}, "
        f"{args.pairs} pairs\n"
    )
    print("| model | combination | mild | middle | aggressive | GiB | published |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for family in args.models.split(","):
        pipeline = build(family, dtype=dtype, device=args.device)
        seconds, peaks = [], []
        for names in rows():
            chosen = [at(level, names, args.steps) for level in (MILD, MIDDLE, AGGRESSIVE)]
            warm_up(pipeline, names, args)
            timings = [turn(pipeline, chosen, args) for _ in range(args.pairs)]
            seconds += [baseline.seconds for baseline, *_ in timings]
            peaks += [baseline.gib for baseline, *_ in timings]
            ratios = [
                [baseline.seconds / accelerated.seconds for accelerated in others]
                for baseline, *others in timings
            ]
            cells = [f"{statistics.median(column):.2f}×" for column in zip(*ratios, strict=True)]
            most = max(accelerated.gib for _, *others in timings for accelerated in others)
            name = "+".join(names)
            cells += [gib(most), PUBLISHED.get((family, name), "")]
            print(f"| {family} | {name} | {' | '.join(cells)} |", flush=True)
        whole = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} … {max(seconds):.3f})"
        print(f"| {family} | baseline | {whole} | | | {gib(max(peaks))} | |", flush=True)
        del pipeline
        if args.device != "cpu":
            torch.cuda.empty_cache()


def gib(peak: float) -> str:
    """A cell of the table; empty on a CPU."""
    return f"{peak:.2f}" if peak else ""


def rows() -> Iterator[tuple[str, ...]]:
    """The accelerators of each row: the three alone and combined, then each other one alone."""
    for count in range(1, len(TOGETHER) + 1):
        yield from combinations(TOGETHER, count)
    yield from ((name,) for name in MILD if name not in TOGETHER)


def at(level: Params, names: tuple[str, ...], steps: int) -> Setting:
    """A level's setting of these accelerators; knobs that count steps are scaled to `steps`."""
    params = {name: dict(level[name]) for name in names}
    for knobs in params.values():
        for name in STEP_KNOBS:
            if name in knobs:
                least = 2 if name == "gate_step" else 1
                knobs[name] = max(least, round(knobs[name] * steps / 20))
    return Setting.of(params)


def warm_up(pipeline: Any, names: tuple[str, ...], args: argparse.Namespace) -> None:
    """Run every shape of tensors that the row's settings use."""
    for level in (MILD, MIDDLE, AGGRESSIVE):
        picture(pipeline, at(level, names, WARM_STEPS), WARM_STEPS, args)


def turn(pipeline: Any, settings: list[Setting], args: argparse.Namespace) -> list["Picture"]:
    """The baseline and each of the settings, one after the other."""
    return [picture(pipeline, setting, args.steps, args) for setting in (Setting(), *settings)]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The time and memory of a batch."""

    seconds: float  # for each picture
    gib: float  # peak on a GPU; zero on a CPU


def picture(pipeline: Any, setting: Setting, steps: int, args: argparse.Namespace) -> Picture:
    """Generate a batch with a setting."""
    size = {} if args.resolution is None else {"height": args.resolution, "width": args.resolution}
    with applied(pipeline, setting.accelerators) as generate, PeakMeter(args.device) as meter:
        synchronise(args.device)
        start = time.perf_counter()
        generate(
            ["a red circle on a blue ground"] * args.batch,
            num_inference_steps=steps,
            generator=[torch.Generator().manual_seed(seed) for seed in range(args.batch)],
            output_type="latent",
            **size,
        )
        synchronise(args.device)
        seconds = (time.perf_counter() - start) / args.batch
    return Picture(seconds=seconds, gib=meter.peak.device or 0.0)


if __name__ == "__main__":
    main()
