"""Accelerators on a compiled denoiser: speedups, graphs and recompilations.

    python -m bench.speed.compiled --device cuda                    # SD1.5 and SDXL, full size
    python -m bench.speed.compiled --device cuda --how whole --models SD1.5
    python -m bench.speed.compiled --size tiny --device cpu         # a U-Net of two levels

Full size is with random weights and in fp16. Each row is a setting, timed eagerly and compiled:
`speedup` is that over the baseline in the same column's way, and `over eager` is that of the
compiled setting over the eager baseline. Times are the best of --batches after a warm-up. `graphs`
were compiled for the row beyond those of the rows above, in so many seconds; `again` were compiled
in the timed generations, which must be none. `difference` is the greatest one between a value of
the latents drawn eagerly and compiled, as a share of their range.

--how blocks compiles as `compile_repeated_blocks()` does, which takes seconds for each kind of
pass; --how whole as `torch.compile(pipe.unet)`, which takes up to a minute for each. Rows that
cannot begin before --limit-s seconds are left out, with a line that says so.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from bench.lib.full_size import build
from bench.lib.miniature import conditions, quiet
from tuner.applying.applied import applied
from tuner.loading import load
from tuner.measure.compile_meter import CompileMeter
from tuner.measure.device import describe, synchronise
from tuner.pipelines.compiling import MODES
from tuner.setting import Params, Setting

CHOSEN: Params = {
    "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
    "tome": {"ratio": 0.5, "max_downsample": 1},
    "tgate": {"gate_step": 10, "sp_interval": 5, "fi_interval": 1, "warmup": 2},
}
STEPS = 20
HEAD = ("model", "setting", "eager, s", "speedup", "compiled, s", "speedup", "over eager")
COUNTS = ("graphs", "compiling, s", "again", "difference")


def main() -> None:
    args = arguments()
    quiet()
    start = time.monotonic()
    print(f"{describe(args.device)}, torch {torch.__version__}, {conditions()};")
    print(f"DDIM, {STEPS} steps, batch {args.batch}, {args.how}, mode {args.mode}\n")
    print(f"| {' | '.join((*HEAD, *COUNTS))} |")
    print("|" + "---|" * len((*HEAD, *COUNTS)), flush=True)
    for model in ["tiny"] if args.size == "tiny" else args.models.split(","):
        eager, compiled = pipelines(model, args)
        baselines: tuple[float, float] | None = None
        for setting in settings():
            if time.monotonic() - start > args.limit_s:
                print(f"\n{model}: no time for {setting or 'the baseline'} and what follows")
                break
            eager_s, expected, _ = timed(eager, setting, args)
            compiled_s, output, (warm, again) = timed(compiled, setting, args)
            baselines = baselines or (eager_s, compiled_s)
            cells = [
                f"{eager_s:.3f}",
                f"{baselines[0] / eager_s:.2f}×",
                f"{compiled_s:.3f}",
                f"{baselines[1] / compiled_s:.2f}×",
                f"{baselines[0] / compiled_s:.2f}×",
                str(warm.graphs),
                f"{warm.seconds:.0f}",
                str(again.graphs),
                f"{difference(output, expected):.1e}",
            ]
            print(f"| {model} | {setting or 'baseline'} | {' | '.join(cells)} |", flush=True)
        del eager, compiled
        if args.device != "cpu":
            torch.cuda.empty_cache()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--models", default="SD1.5,SDXL")
    parser.add_argument("--how", choices=("blocks", "whole"), default="blocks")
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--limit-s", type=float, default=420)
    return parser.parse_args()


def settings() -> Iterator[Setting]:
    """The baseline and the seven combinations."""
    yield Setting()
    for count in range(1, len(CHOSEN) + 1):
        for names in combinations(CHOSEN, count):
            yield Setting.of({name: CHOSEN[name] for name in names})


def pipelines(model: str, args: argparse.Namespace) -> tuple[Any, Any]:
    """An eager pipeline, and one with the same parts whose U-Net is compiled."""
    if model == "tiny":
        eager = tiny(args.device)
    else:
        dtype = torch.float32 if args.device == "cpu" else torch.float16
        eager = build(model, dtype=dtype, device=args.device)
    compiled = type(eager)(**eager.components)
    compiled.set_progress_bar_config(disable=True)
    with torch.device("meta"):
        unet = type(eager.unet).from_config(eager.unet.config)
    unet.load_state_dict(eager.unet.state_dict(), assign=True)  # no second copy of the weights
    compiled.unet = unet.eval()
    if args.how == "blocks":
        compiled.unet.compile_repeated_blocks(mode=args.mode)
    else:
        compiled.unet = torch.compile(compiled.unet, mode=args.mode)
    return eager, compiled


def tiny(device: str) -> Any:
    """The miniature with a U-Net of two levels and random weights, which compiles soon."""
    pipeline = load("miniature", scheduler="DDIM", device=device)
    width = pipeline.unet.config.cross_attention_dim
    torch.manual_seed(0)
    pipeline.unet = UNet2DConditionModel(
        sample_size=pipeline.unet.config.sample_size,
        in_channels=pipeline.unet.config.in_channels,
        out_channels=pipeline.unet.config.out_channels,
        block_out_channels=(16, 32),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=8,
        norm_num_groups=4,
    ).to(device)
    pipeline.unet.eval().requires_grad_(False)
    return pipeline


def timed(
    pipeline: Any, setting: Setting, args: argparse.Namespace
) -> tuple[float, Any, tuple[CompileMeter, CompileMeter]]:
    """The best seconds of a batch, its latents, and what was compiled: at first, and later."""
    with applied(pipeline, setting.accelerators) as generate:
        with CompileMeter() as first:
            for _ in range(1 if args.mode == "default" else 3):  # CUDA graphs are recorded later
                output = latents(generate, args)
        seconds = []
        with CompileMeter() as later:
            for _ in range(args.batches):
                synchronise(args.device)
                start = time.perf_counter()
                latents(generate, args)
                synchronise(args.device)
                seconds.append(time.perf_counter() - start)
    return min(seconds), output, (first, later)


def latents(generate: Any, args: argparse.Namespace) -> Any:
    return generate(
        ["a red circle on a blue ground"] * args.batch,
        num_inference_steps=STEPS,
        generator=[torch.Generator().manual_seed(seed) for seed in range(args.batch)],
        output_type="latent",
    ).images


def difference(some: Any, other: Any) -> float:
    """The greatest difference, as a share of the range of values."""
    some, other = some.float(), other.float()
    return float((some - other).abs().max() / (other.max() - other.min()))


if __name__ == "__main__":
    main()
