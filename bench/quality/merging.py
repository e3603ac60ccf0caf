"""ToMe with T-GATE: what should T-GATE store of an attention whose tokens are merged?

    python -m bench.quality.merging [--prompts 64]

T-GATE stores attention outputs for later steps; tomesd merges the tokens before the attention, and
unmerges them after it, by a map that it draws at each step. Three ways, on the miniature with DDIM
at 20 steps:

- as is: both packages unchanged; what is stored is merged, and later unmerged by another map;
- frozen map: as is, but every layer keeps the map of its first step;
- after unmerge: T-GATE stores the unmerged output (ours, in tuner/accelerators/tome.py).

The table has the score loss against the baseline, and the distance (root mean square, 0 to 255)
from the pictures of T-GATE alone, both with 95% intervals over the prompts.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tomesd
import torch
from tomesd import patch

from bench.lib.miniature import MODEL, captions, conditions, pipeline, quiet, scorer
from tuner.accelerators import Value
from tuner.applying.applied import applied
from tuner.measure.pictures import checked
from tuner.measure.statistics import score_loss
from tuner.setting import Setting

Values = dict[str, Value]
TOME: tuple[Values, ...] = (
    {"ratio": 0.3, "max_downsample": 1},
    {"ratio": 0.5, "max_downsample": 1},
    {"ratio": 0.75, "max_downsample": 4},
)
TGATE: tuple[Values, ...] = (
    {"gate_step": 15, "sp_interval": 2, "fi_interval": 1, "warmup": 3},
    {"gate_step": 10, "sp_interval": 5, "fi_interval": 2, "warmup": 2},
)
SEED = 0
BATCH = 8  # even before and after the gate: tomesd draws no random map for odd batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    quiet()
    pipe, clip = pipeline("DDIM"), scorer()
    prompts = captions("verify", args.prompts)

    def pictures(generate: Callable[..., Any]) -> list[Any]:
        images: list[Any] = []
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            result = generate(
                batch,
                num_inference_steps=args.steps,
                guidance_scale=MODEL.guidance_scale,
                height=MODEL.resolution,
                width=MODEL.resolution,
                generator=[torch.Generator().manual_seed(first + k) for k in range(len(batch))],
                output_type="pt",
            )
            images += checked(result.images)
        return images

    base = clip.score(pictures(pipe), prompts)
    print(f"{conditions()}\nDDIM, {args.steps} steps, {args.prompts} prompts\n")
    print("| setting | way | score loss (95%) | distance to T-GATE alone |\n|---|---|---|---|")
    for tgate in TGATE:
        with applied(pipe, Setting.of({"tgate": tgate}).accelerators) as generate:
            plain = pictures(generate)
        row("T-GATE alone", Setting.of({"tgate": tgate}), base, clip.score(plain, prompts), "")
        for tome in TOME:
            setting = Setting.of({"tome": tome, "tgate": tgate})
            for way, context in WAYS.items():
                with context(pipe, tome, tgate) as generate:
                    merged = pictures(generate)
                row(way, setting, base, clip.score(merged, prompts), distance(merged, plain))


def row(way: str, setting: Setting, base: list[float], scores: list[float], far: str) -> None:
    loss = score_loss(base, scores)
    print(f"| {setting} | {way} | {loss.value:.2%} ({loss.low:.2%} … {loss.high:.2%}) | {far} |")


def distance(some: list[Any], others: list[Any]) -> str:
    """The mean root-mean-square difference of pairs of pictures, with its 95% interval."""
    each = [
        float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))
        for a, b in zip(some, others, strict=True)
    ]
    half = 1.96 * np.std(each, ddof=1) / np.sqrt(len(each))
    return f"{np.mean(each):.2f} ± {half:.2f}"


@contextmanager
def as_is(pipe: Any, tome: Values, tgate: Values) -> Iterator[Callable[..., Any]]:
    """The packages unchanged, except that ToMe's random state is reset for each batch."""
    with applied(pipe, Setting.of({"tgate": tgate}).accelerators) as generate:
        tomesd.apply_patch(pipe, **tome)
        unet = pipe.unet

        def begin(*args: Any, **kwargs: Any) -> Any:
            unet._tome_info["args"]["generator"] = torch.Generator().manual_seed(SEED)
            return generate(*args, **kwargs)

        try:
            yield begin
        finally:
            tomesd.remove_patch(pipe)
            for module in unet.modules():
                module.__dict__.pop("_tome_info", None)


@contextmanager
def frozen(pipe: Any, tome: Values, tgate: Values) -> Iterator[Callable[..., Any]]:
    """As is, but each layer computes its map from the tokens of its first step."""
    first: dict[int, Any] = {}
    layer = 0

    def compute(tokens: Any, info: dict[str, Any]) -> Any:
        nonlocal layer
        initial = first.setdefault(layer, tokens)
        if len(initial) > len(tokens):  # after the gate: the half with the prompt
            initial = initial[len(initial) // 2 :]
        info["args"]["generator"] = torch.Generator(tokens.device).manual_seed(SEED + layer)
        layer += 1
        return original(initial, info)

    def new_step(*_: Any) -> None:
        nonlocal layer
        layer = 0

    original, patch.compute_merge = patch.compute_merge, compute
    step = pipe.unet.register_forward_pre_hook(new_step)
    try:
        with as_is(pipe, tome, tgate) as generate:

            def begin(*args: Any, **kwargs: Any) -> Any:
                first.clear()
                return generate(*args, **kwargs)

            yield begin
    finally:
        step.remove()
        patch.compute_merge = original


@contextmanager
def after_unmerge(pipe: Any, tome: Values, tgate: Values) -> Iterator[Callable[..., Any]]:
    """Our accelerators."""
    setting = Setting.of({"tome": tome, "tgate": tgate})
    with applied(pipe, setting.accelerators, seed=SEED) as generate:
        yield generate


WAYS = {"as is": as_is, "frozen map": frozen, "after unmerge": after_unmerge}

if __name__ == "__main__":
    main()
