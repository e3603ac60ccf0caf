"""Speedups of the seven combinations on full-size SD1.5, SD2.1 and SDXL with random weights.

    python -m bench.combinations --device cuda                   # full size, fp16, 50 steps
    python -m bench.combinations --resolution 64 --steps 8       # on a CPU, in the background

Medians of paired latency ratios, baseline and settings by turns, batch 1, the latent as output (the
VAE is the same for all). T-GATE's gate stands at 3/4, 1/2 and 1/4 of the steps. Beside them stand
the figures that were published, with their own hardware and steps.
"""

import argparse
import statistics
import time
from itertools import combinations

import torch

from bench._full_size import FAMILIES, build
from bench._miniature import conditions, quiet
from tuner.accelerators._applied import Generate, applied
from tuner.measure.device import describe, synchronise
from tuner.setting import Params, Setting

MILD: Params = {
    "deepcache": {"cache_interval": 2, "cache_branch_id": 0},
    "tome": {"ratio": 0.3, "max_downsample": 1},
    "tgate": {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 3},
}
MIDDLE: Params = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "tome": {"ratio": 0.5, "max_downsample": 1},
    "tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2},
}
WILD: Params = {
    "deepcache": {"cache_interval": 5, "cache_branch_id": 0},
    "tome": {"ratio": 0.75, "max_downsample": 2},
    "tgate": {"gate_step": 5, "sp_interval": 9, "fi_interval": 5, "warmup": 1},
}
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
    args = parser.parse_args()
    quiet()
    dtype = torch.float32 if args.device == "cpu" else torch.float16
    about = describe(args.device)
    print(f"{about}, {dtype}, {conditions()}; {args.steps} steps, {args.pairs} pairs")
    print("\n| model | combination | mild | middle | wild | published |\n|---|---|---|---|---|---|")
    for family in args.models.split(","):
        pipeline = build(family, dtype=dtype, device=args.device)
        names = list(MILD)
        for count in range(1, len(names) + 1):
            for chosen in combinations(names, count):
                levels = [setting(one, chosen, args.steps) for one in (MILD, MIDDLE, WILD)]
                cells = speedups(pipeline, levels, args)
                name = "+".join(chosen)
                cited = PUBLISHED.get((family, name), "")
                row = " | ".join(f"{cell:.2f}×" for cell in cells)
                print(f"| {family} | {name} | {row} | {cited} |", flush=True)
        del pipeline
        if args.device != "cpu":
            torch.cuda.empty_cache()


def setting(level: Params, names: tuple[str, ...], steps: int) -> Setting:
    """A level's values for these accelerators, its gate moved to this number of steps."""
    params = {name: dict(level[name]) for name in names}
    if "tgate" in params:
        params["tgate"]["gate_step"] = max(2, round(params["tgate"]["gate_step"] * steps / 20))
    return Setting.of(params)


def speedups(pipeline: object, settings: list[Setting], args: argparse.Namespace) -> list[float]:
    """Each setting's median ratio of the baseline's latency to its own, all of them by turns."""
    ratios: list[list[float]] = []
    for turn in range(args.pairs + 1):
        seconds = []
        for one in (Setting(), *settings):
            with applied(pipeline, one.accelerators) as generate:
                seconds.append(timed(generate, args))
        if turn:  # the first turn is the warm-up
            ratios.append([seconds[0] / other for other in seconds[1:]])
    return [statistics.median(found) for found in zip(*ratios, strict=True)]


def timed(generate: Generate, args: argparse.Namespace) -> float:
    """Seconds of one picture."""
    size = {} if args.resolution is None else {"height": args.resolution, "width": args.resolution}
    synchronise(args.device)
    start = time.perf_counter()
    generate(
        ["a red circle on a blue ground"],
        num_inference_steps=args.steps,
        generator=[torch.Generator().manual_seed(0)],
        output_type="latent",
        **size,
    )
    synchronise(args.device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
