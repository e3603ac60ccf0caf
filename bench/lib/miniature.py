"""The miniature, its scorer and its captions, as the benchmarks use them."""

import os
import platform
from typing import Any

import torch

from tuner import registry
from tuner.loading import load, model_named
from tuner.measure.device import describe, versions
from tuner.measure.evaluation import Evaluation
from tuner.pipelines.call_arguments import text_to_image
from tuner.prompts.miniature import component as prompts
from tuner.size import Size

MODEL = model_named("miniature")
SIZE = Size(MODEL.resolution, MODEL.resolution)


def quiet() -> None:
    """Silence the libraries' messages and progress bars."""
    from tuner.cli.quiet import quiet as silence

    silence()


def conditions() -> str:
    """The machine and the versions under which a table was made."""
    about = describe("cpu")
    packages = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("torch", "diffusers"))
    load_1 = os.getloadavg()[0]
    return (
        f"{about['device']}, {torch.get_num_threads()} of {os.cpu_count()} threads, load "
        f"{load_1:.1f}, Python {platform.python_version()}, {packages}"
    )


def pipeline(scheduler: str, device: str = "cpu") -> Any:
    """The miniature's pipeline with a scheduler."""
    return load("miniature", scheduler=scheduler, device=device)


def scorer(device: str = "cpu") -> Any:
    """The miniature's CLIP, as `tuner run` loads it."""
    return registry.get("metrics", MODEL.metric)(device=device, **MODEL.metric_options)


def captions(pool: str, count: int) -> list[str]:
    """Held-out captions of a pool."""
    return prompts.load(count, pool)


def evaluation_of(
    pool: str,
    count: int,
    *,
    scheduler: str = "DDIM",
    steps: int = 20,
    device: str = "cpu",
    **others: Any,
) -> Evaluation:
    """An evaluation on a pool's first `count` captions; `others` are arguments of `Evaluation`."""
    return Evaluation(
        pipeline=pipeline(scheduler, device),
        device=device,
        steps=steps,
        prompts=captions(pool, count),
        metric=scorer(device),
        size=SIZE,
        call=text_to_image(steps=steps, guidance_scale=MODEL.guidance_scale, size=SIZE),
        **others,
    )
