"""What an accelerator costs by itself at each denoising step: Python time, and waits for a GPU.

    python -m bench.overhead [--models SD1.5,SDXL] [--device cpu] [--repetitions 40]

Each accelerator is applied in its neutral setting, which computes all that the baseline computes,
so that what is left of the difference is its own; beside ours stand the packages as they are. The
pipelines have every module of the full-size models at a tenth of the width, at 64x64 pixels: the
host's work does not depend on the width. Times are those of the one thread (not of the clock on
the wall), with the quartiles of what is added; "reads" are values read back from tensors, each of
which makes the host wait for a GPU. For comparison: 3 % of a published step of SD2.1 on an A5000
(2.61 s / 50) is 1.6 ms.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper
from torch.profiler import ProfilerActivity, profile

from bench._full_size import build
from bench._miniature import conditions, quiet
from tuner import registry
from tuner.accelerators._applied import applied
from tuner.errors import UnfitError
from tuner.measure.device import synchronise
from tuner.setting import Setting

STEPS = 20
NARROW = 10
Generate = Callable[..., Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="SD1.5,SDXL")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=40)
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    print(f"{args.device}, {conditions()}; {STEPS} steps, medians of {args.repetitions} turns\n")
    print("| model | accelerator | whose | ms a step | of these added | reads a step |")
    print("|---|---|---|---|---|---|")
    for family in args.models.split(","):
        # Two of the same: what a package leaves behind does not reach the baseline.
        baseline, patched = (narrow(family, args.device) for _ in range(2))
        for name, component in registry.components("accelerators").items():
            with suppress(UnfitError):
                component.check(patched)
                neutral = Setting.of({name: component.neutral}).accelerators
                with applied(patched, neutral) as generate:
                    row(family, name, "ours", baseline, generate, args)
                if name in PACKAGES:
                    generate = PACKAGES[name](patched)
                    row(family, name, "the package's", baseline, generate, args)
                    patched = narrow(family, args.device)


def narrow(family: str, device: str) -> Any:
    return build(family, dtype=torch.float32, device=device, narrow=NARROW)


def raw_deepcache(pipeline: Any) -> Generate:
    helper = DeepCacheSDHelper(pipe=pipeline)
    helper.set_params(cache_interval=1, cache_branch_id=0)
    helper.enable()
    return partial(pipeline.__call__)


def raw_tome(pipeline: Any) -> Generate:
    tomesd.apply_patch(pipeline, ratio=0.0)
    return partial(pipeline.__call__)


def raw_tgate(pipeline: Any) -> Generate:
    sdxl = type(pipeline).__name__ == "StableDiffusionXLPipeline"
    (tgate.TgateSDXLLoader if sdxl else tgate.TgateSDLoader)(pipeline)
    return partial(pipeline.tgate, gate_step=1000, sp_interval=1, fi_interval=1, warm_up=0)


PACKAGES = {"deepcache": raw_deepcache, "tome": raw_tome, "tgate": raw_tgate}


def reads(generate: Generate, device: str) -> int:
    """Values that are read back from tensors while one picture is made."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        timed(generate, device)
    return sum(one.count for one in seen.key_averages() if one.key == "aten::_local_scalar_dense")


def row(
    family: str, name: str, whose: str, baseline: Any, generate: Generate, args: argparse.Namespace
) -> None:
    added_reads = reads(generate, args.device) - reads(baseline, args.device)
    turns = [
        (timed(baseline, args.device), timed(generate, args.device))
        for _ in range(args.repetitions)
    ]
    whole = statistics.median(own for _, own in turns) / STEPS * 1000
    added = sorted((own - without) / STEPS * 1000 for without, own in turns)
    low, middle, high = (added[len(added) * share // 4] for share in (1, 2, 3))
    print(
        f"| {family} | {name} | {whose} | {whole:.2f} | {middle:.2f} ({low:.2f} … {high:.2f}) "
        f"| {added_reads / STEPS:+.1f} |",
        flush=True,
    )


def timed(generate: Generate, device: str) -> float:
    """Seconds that the thread worked on one picture's denoising."""
    synchronise(device)
    start = time.thread_time()
    generate(
        "a red circle on a blue ground",
        height=64,
        width=64,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    )
    return time.thread_time() - start


if __name__ == "__main__":
    main()
