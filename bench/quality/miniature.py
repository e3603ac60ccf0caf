"""How well the miniature draws, and how well its scorer tells captions apart.

    python -m bench.quality.miniature [--drawn 1000] [--generated 500] [--steps 50,20]

For each picture of a held-out caption, the scorer chooses among 100 captions: the right one, up to
12 that differ from it in one attribute, and other held-out captions. At random 1% would be right.
"""

import argparse
import random
from typing import Any

import torch

from bench.lib.miniature import MODEL, captions, conditions, pipeline, quiet, scorer
from tuner.measure.batch_generator import prompt_seed
from tuner.measure.pictures import checked
from tuner.measure.statistics import share
from tuner.metrics.clip import ClipScore
from tuner.models.miniature.world import Scene, draw, neighbours, scenes

NEAR, CHOICES = 12, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawn", type=int, default=1000)
    parser.add_argument("--generated", type=int, default=500)
    parser.add_argument("--steps", default="50,20")
    args = parser.parse_args()
    quiet()
    clip = scorer()
    by_caption = {caption: scene for scene in scenes() for caption in scene.captions()}
    print(f"{conditions()}\n\n{'pictures':34} {'count':>5}  right of {CHOICES} (95%)")

    texts = captions("truth", max(args.drawn, args.generated))
    rng = random.Random(0)
    drawn = [draw(by_caption[text], rng) for text in texts[: args.drawn]]
    report("drawn by the world's generator", right(clip, drawn, texts[: args.drawn], by_caption))
    for steps in [int(part) for part in args.steps.split(",")]:
        images = generated(texts[: args.generated], steps)
        correct = right(clip, images, texts[: args.generated], by_caption)
        report(f"miniature, DDIM, {steps} steps", correct)


def generated(texts: list[str], steps: int) -> list[Any]:
    """Pictures of the miniature, each from different noise."""
    pipe = pipeline("DDIM")
    images: list[Any] = []
    for start in range(0, len(texts), 20):
        part = texts[start : start + 20]
        noise = [torch.Generator().manual_seed(prompt_seed(0, start + i)) for i in range(len(part))]
        output = pipe(
            part,
            num_inference_steps=steps,
            guidance_scale=MODEL.guidance_scale,
            generator=noise,
            output_type="pt",
        )
        images += checked(output.images)
    return images


def right(
    clip: ClipScore, images: list[Any], texts: list[str], by_caption: dict[str, Scene]
) -> list[bool]:
    """For each picture, whether the scorer ranks its own caption first."""
    rng = random.Random(1)
    others = captions("truth", 2048)
    correct = []
    for image, text in zip(images, texts, strict=True):
        scene = by_caption[text]
        near = [rng.choice(other.captions()) for other in rng.sample(neighbours(scene), NEAR)]
        # Another wording of the same scene would be right as well.
        far = [t for t in rng.sample(others, CHOICES) if by_caption[t] != scene and t not in near]
        choices = [text, *near, *far][:CHOICES]
        correct.append(clip.choose(image, choices) == 0)
    return correct


def report(name: str, correct: list[bool]) -> None:
    """A line of the table."""
    estimate = share(correct)
    interval = f"({estimate.low:.1%} … {estimate.high:.1%})"
    print(f"{name:34} {len(correct):5d}  {estimate.value:.1%} {interval}", flush=True)


if __name__ == "__main__":
    main()
