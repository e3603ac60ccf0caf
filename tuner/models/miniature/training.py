"""What the training stages of the miniature share: the tokenizer, pictures, the optimiser."""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from string import ascii_lowercase

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import CLIPTokenizer

from tuner.models.miniature import world
from tuner.models.miniature.world import Scene

CONTEXT = 16  # tokens in a caption, start and end counted


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer in which each word of the world is one token."""
    learner = Tokenizer(BPE(end_of_word_suffix="</w>"))
    trainer = BpeTrainer(
        vocab_size=1000,
        end_of_word_suffix="</w>",
        initial_alphabet=list(ascii_lowercase),
        show_progress=False,
    )
    learner.pre_tokenizer = Whitespace()
    learner.train_from_iterator([" ".join(world.WORDS)], trainer)
    learned = json.loads(learner.to_str())["model"]
    alphabet = [letter + end for letter in ascii_lowercase for end in ("", "</w>")]
    # The learner breaks ties at random, so its merges are sorted to be the same every time.
    merges = sorted(learned["merges"], key=lambda pair: (len("".join(pair)), pair))
    pieces = dict.fromkeys([*alphabet, *("".join(pair) for pair in merges)])
    # The end token has the highest number: open_clip finds it with argmax.
    names = ["<|startoftext|>", *pieces, "<|endoftext|>"]
    words = CLIPTokenizer(
        vocab={name: index for index, name in enumerate(names)},
        merges=[tuple(pair) for pair in merges],
        model_max_length=CONTEXT,
    )
    split = [word for word in world.WORDS if len(words.tokenize(word)) != 1]
    assert not split, f"these words are more than one token: {split}"
    return words


def tokenize(words: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids, shape (captions, CONTEXT)."""
    ids: Tensor = words(
        captions, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def train_scenes() -> list[Scene]:
    """All scenes that are not held out."""
    return [scene for scene in world.scenes() if not scene.held_out]


def pictures(scenes: list[Scene], rng: random.Random) -> Tensor:
    """Draw the scenes; float in [-1, 1], shape (scenes, 3, 64, 64)."""
    drawn = np.stack([np.asarray(world.draw(scene, rng)) for scene in scenes])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over a fiftieth of the steps, then a cosine to a hundredth of the peak."""
    warm = max(1, steps // 50)
    if step < warm:
        return peak * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimise(
    parameters: list[nn.Parameter],
    steps: int,
    peak: float,
    loss_of: Callable[[int], Tensor],
    name: str,
    decay: float = 0.01,
) -> Iterator[int]:
    """Minimise with AdamW; yields the number of steps done after each step."""
    adam = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.99), weight_decay=decay)
    start, smooth = time.perf_counter(), 0.0
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        loss = loss_of(step)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 49:
            rate = (time.perf_counter() - start) / (step + 1)
            print(f"{name} {step + 1}/{steps} loss {smooth:.4f} {rate:.3f} s/step", flush=True)
        yield step + 1
