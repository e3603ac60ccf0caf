"""Pictures of the miniature that are drawn in the same way in several processes.

A test compares those that it draws itself with those of a fresh process, which runs this file:

    python -m tests.helpers.drawing apply search_params.json pictures.npy
    python -m tests.helpers.drawing script accelerated.py pictures.npy
"""

import runpy
import sys
from typing import Any

import numpy as np
import torch

import tuner

STEPS = 6
GUIDANCE = 3.0
SIDE = 32  # pixels
PROMPTS = (["a red circle", "a blue ring"], ["a green square"])


def draw(generate: Any) -> np.ndarray:
    """Two calls, with batches of different size; shape (3, SIDE, SIDE, 3), values in [0, 1]."""
    batches = [
        generate(
            prompts,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            height=SIDE,
            width=SIDE,
            generator=[torch.Generator().manual_seed(len(prompt)) for prompt in prompts],
            output_type="np",
        ).images
        for prompts in PROMPTS
    ]
    return np.concatenate(batches)


def main(how: str, source: str, output: str) -> None:
    """Draw with a `search_params.json` or with an exported script, and save the pictures."""
    if how == "apply":
        pipe = tuner.load("miniature", scheduler="DDIM", device="cpu")
        tuner.apply(pipe, source)
        pictures = draw(pipe)
    else:
        pictures = draw(runpy.run_path(source)["generate"])
    np.save(output, pictures)


if __name__ == "__main__":
    main(*sys.argv[1:])
