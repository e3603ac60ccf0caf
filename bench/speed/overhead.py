"""What an accelerator itself adds to each denoising step: Python time, and waits for a GPU.

    python -m bench.speed.overhead [--models SD1.5,SDXL] [--device cpu] [--repetitions 40]

Each accelerator is applied in its neutral setting, which computes everything that the baseline
computes, so that the difference is the accelerator's own work. For comparison, the same for the
packages without the tuner. The pipelines have every module of the full-size models at a tenth of
the width, at 64x64 pixels: the host's work does not depend on the width. Times are CPU times of the
main thread; what is added has its quartiles. `waits` are operations at which the host waits until
the GPU has caught up; on a CPU, values read from tensors, each of which would wait for a GPU. As a
scale: 3% of a published step of SD2.1 on an A5000 (2.61 s / 50) is 1.6 ms.

On a GPU further columns have wall-clock times of whole pictures at full size in half precision: the
host's work costs nothing where the GPU is still busy.
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
    """Two equal pipelines, so that what a package leaves behind does not affect the baseline."""

    family: str
    device: str
    full: bool  # full size and wall-clock time; else narrow and CPU time of the thread

    @cached_property
    def baseline(self) -> Any:
        """The pipeline to which nothing is ever applied."""
        return self._built()

    @cached_property
    def patched(self) -> Any:
        """The pipeline to accelerate; delete it after a package that cannot be undone."""
        return self._built()

    def _built(self) -> Any:
        dtype = torch.float16 if self.full else torch.float32
        narrow = 1 if self.full else NARROW
        return build(self.family, dtype=dtype, device=self.device, narrow=narrow)

    def added(self, generate: Generate, repetitions: int) -> str:
        """Two cells of the table: milliseconds of a step, and how many of these are added."""
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
        """Seconds of a picture: CPU time of the thread; at full size, until the GPU is done."""
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
    print("| model | accelerator | by | waits | CPU ms | of these added |", end="")
    print(" wall-clock ms, full size | of these added |" if gpu else "")
    print("|---|---|---|---|---|---|" + "---|---|" * gpu, flush=True)
    for family in args.models.split(","):
        pairs = [Pair(family, args.device, full) for full in ((False, True) if gpu else (False,))]
        for name, component in registry.components("accelerators").items():
            with suppress(UnfitError):
                component.check(pairs[0].patched)
                neutral = Setting.of({name: component.neutral}).accelerators
                with ExitStack() as stack:
                    ours = [stack.enter_context(applied(pair.patched, neutral)) for pair in pairs]
                    row(f"{family} | {name} | ours", pairs, ours, args)
                if name in PACKAGES:
                    theirs = [PACKAGES[name](pair.patched) for pair in pairs]
                    row(f"{family} | {name} | the package", pairs, theirs, args)
                    del theirs
                    for pair in pairs:
                        del pair.patched


def row(title: str, pairs: list[Pair], calls: list[Generate], args: argparse.Namespace) -> None:
    narrow = pairs[0]
    more = waits(lambda: narrow.timed(calls[0]), args.device)
    more -= waits(lambda: narrow.timed(narrow.baseline), args.device)
    cells = [pair.added(call, args.repetitions) for pair, call in zip(pairs, calls, strict=True)]
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
