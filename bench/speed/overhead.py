"""What an accelerator costs by itself at each denoising step: Python time, and waits for a GPU.

    python -m bench.speed.overhead [--models SD1.5,SDXL] [--device cpu] [--repetitions 40]

Each accelerator is applied in its neutral setting, which computes all that the baseline computes,
so that what is left of the difference is its own; beside ours stand the packages as they are. The
pipelines have every module of the full-size models at a tenth of the width, at 64x64 pixels: the
host's work does not depend on the width. Times are those of the one thread (not of the clock on
the wall), with the quartiles of what is added; "waits" are operations that hold the host until a
GPU has caught up, on a CPU the values read back from tensors, which would. For comparison: 3 % of a
published step of SD2.1 on an A5000 (2.61 s / 50) is 1.6 ms.

On a GPU the same by the wall follows, of whole pictures at full size in half precision: what of the
host's work is hidden behind the GPU's costs nothing there.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper

from bench.lib.full_size import build
from bench.lib.miniature import conditions, quiet
from bench.lib.waits import waits
from tuner import registry
from tuner.applying.applied import applied
from tuner.errors import UnfitError
from tuner.measure.device import describe, synchronise
from tuner.setting import Setting

STEPS = 20
NARROW = 10
Generate = Callable[..., Any]


@dataclass
class Pair:
    """Two pipelines of a kind: what a package leaves behind in one does not reach the baseline."""

    family: str
    device: str
    full: bool  # size, by the wall; or narrow, by the thread's own clock

    @cached_property
    def baseline(self) -> Any:
        """Nothing is ever applied to it."""
        return self._built()

    @cached_property
    def patched(self) -> Any:
        """What is applied to; delete it where a package cannot be taken off again."""
        return self._built()

    def _built(self) -> Any:
        dtype = torch.float16 if self.full else torch.float32
        narrow = 1 if self.full else NARROW
        return build(self.family, dtype=dtype, device=self.device, narrow=narrow)

    def added(self, generate: Generate, repetitions: int) -> str:
        """Cells of the table: a step's milliseconds, and how much of it the other side has not."""
        turns = []
        for _ in range(repetitions + 1):
            turns.append((self.timed(self.baseline), self.timed(generate)))
        del turns[0]  # the warm-up
        without = statistics.median(before for before, _ in turns) / STEPS * 1000
        whole = statistics.median(own for _, own in turns) / STEPS * 1000
        more = sorted((own - before) / STEPS * 1000 for before, own in turns)
        low, middle, high = (more[len(more) * share // 4] for share in (1, 2, 3))
        share = f", {middle / without:+.1%}" if self.full else ""
        return f"{whole:.2f} | {middle:+.2f} ({low:+.2f} … {high:+.2f}){share}"

    def timed(self, generate: Generate) -> float:
        """Seconds of one picture: of the thread's work, or by the wall until the GPU is done."""
        side = None if self.full else 64
        synchronise(self.device)
        clock = time.perf_counter if self.full else time.thread_time
        start = clock()
        generate(
            "a red circle on a blue ground",
            height=side,
            width=side,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        )
        if self.full:
            synchronise(self.device)
        return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="SD1.5,SDXL")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=40)
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    gpu = args.device != "cpu"
    print(f"{describe(args.device)}, {conditions()}")
    print(f"{STEPS} steps, medians of {args.repetitions} turns\n")
    print("| model | accelerator | whose | waits | ms of the thread | of these added |", end="")
    print(" ms by the wall, full size | of these added |" if gpu else "")
    print("|---|---|---|---|---|---|" + "---|---|" * gpu, flush=True)
    for family in args.models.split(","):
        pairs = [Pair(family, args.device, full) for full in ((False, True) if gpu else (False,))]
        for name, component in registry.components("accelerators").items():
            with suppress(UnfitError):
                component.check(pairs[0].patched)
                neutral = Setting.of({name: component.neutral}).accelerators
                with ExitStack() as on:
                    ours = [on.enter_context(applied(one.patched, neutral)) for one in pairs]
                    row(f"{family} | {name} | ours", pairs, ours, args)
                if name in PACKAGES:
                    theirs = [PACKAGES[name](one.patched) for one in pairs]
                    row(f"{family} | {name} | the package's", pairs, theirs, args)
                    del theirs
                    for one in pairs:
                        del one.patched


def row(title: str, pairs: list[Pair], calls: list[Generate], args: argparse.Namespace) -> None:
    narrow = pairs[0]
    more = waits(lambda: narrow.timed(calls[0]), args.device)
    more -= waits(lambda: narrow.timed(narrow.baseline), args.device)
    cells = [one.added(call, args.repetitions) for one, call in zip(pairs, calls, strict=True)]
    print(f"| {title} | {more / STEPS:+.1f} | {' | '.join(cells)} |", flush=True)


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


if __name__ == "__main__":
    main()
