"""Training of the miniature's scorer."""

import argparse
import json
import math
import random
from copy import deepcopy
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from tuner.models.miniature import world
from tuner.models.miniature.training import (
    CONTEXT,
    optimise,
    pictures,
    tokenize,
    tokenizer,
    train_scenes,
)
from tuner.models.miniature.world import Scene

FINE = 0.8  # how far the scorer goes from what it was to what spoilt pictures taught it


def scorer_config(vocabulary: int) -> dict[str, object]:
    """The architecture of the scorer, in open_clip's own words."""
    return {
        "embed_dim": 96,
        "vision_cfg": {
            "image_size": world.SIDE,
            "layers": [1, 1, 1, 1],  # a small ResNet tells a circle from a square sooner than a ViT
            "width": 16,
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "local",
            "width": 96,
            "heads": 4,
            "layers": 3,
        },
    }


def train_scorer(args: argparse.Namespace) -> None:
    """The scorer: open_clip's CLIP, trained contrastively with near misses in every batch.

    Then its pictures' side learns to look closely: badly drawn pictures of the same scenes are
    no matches of their captions. What is kept lies between the two, and so still knows what it
    knew of captions (Wortsman et al., 2021, arXiv 2109.01903).
    """
    folder = args.work / "scorer"
    if folder.exists():
        return
    words = tokenizer()
    config = scorer_config(len(words))
    model = open_clip.CLIP(**config).to(args.device)
    batches = _Batches(words, random.Random(args.seed))

    def loss_of(step: int) -> Tensor:
        images, texts, target = (part.to(args.device) for part in batches.draw())
        return contrast(model, roughen(images), None, texts, target)

    everything = list(model.parameters())
    for _ in optimise(everything, args.scorer_steps, 1e-3, loss_of, "scorer", 0.05):
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(50))

    def fine_loss_of(step: int) -> Tensor:
        images, texts, target = (part.to(args.device) for part in batches.draw())
        return contrast(model, images, spoil(images), texts, target)

    before = deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its statistics are those of good pictures
    looking = list(model.visual.parameters())
    for _ in optimise(looking, args.fine_steps, 1e-3, fine_loss_of, "scorer, fine", 0.05):
        pass
    with torch.no_grad():
        for old, new in zip(before.parameters(), model.parameters(), strict=True):
            new.copy_(old.lerp(new, FINE))
    folder.mkdir()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}, indent=2))
    words.save_pretrained(folder)


class _Batches:
    """Scenes of the training, each among scenes that are one attribute away."""

    def __init__(self, words: CLIPTokenizer, rng: random.Random) -> None:
        self.words = words
        self.rng = rng
        self.scenes = train_scenes()
        self.allowed = set(self.scenes)
        self.ids = {scene: number for number, scene in enumerate(self.scenes)}

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, token ids, and what matches what: rows are pictures and add up to 1."""
        batch: list[Scene] = []
        for scene in self.rng.choices(self.scenes, k=32):
            # The first neighbour is the pair the other way round, the hardest to tell apart.
            swapped, *others = world.neighbours(scene)
            near = [swapped, *self.rng.sample(others, k=4)]
            batch += [scene, *(other for other in near if other in self.allowed)]
        texts = tokenize(self.words, [self.rng.choice(scene.captions()) for scene in batch])
        ids = torch.tensor([self.ids[scene] for scene in batch])
        target = (ids[:, None] == ids[None, :]).float()
        return pictures(batch, self.rng), texts, target / target.sum(1, keepdim=True)


def contrast(
    model: Any, images: Tensor, spoilt: Tensor | None, texts: Tensor, target: Tensor
) -> Tensor:
    """CLIP's loss in both directions; of a caption, a spoilt picture is no match."""
    shown = images if spoilt is None else torch.cat([images, spoilt])
    with torch.autocast(images.device.type, torch.bfloat16):
        image_features = model.encode_image(shown, normalize=True).float()
        text_features = model.encode_text(texts, normalize=True).float()
    logits = model.logit_scale.exp() * image_features @ text_features.T
    chosen = functional.pad(target, (0, len(shown) - len(images)))
    return (
        functional.cross_entropy(logits[: len(images)], target)
        + functional.cross_entropy(logits.T, chosen)
    ) / 2


def roughen(images: Tensor) -> Tensor:
    """Blur some pictures a little and add noise, as a diffusion model might draw them."""
    blurred = functional.avg_pool2d(
        functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    share = torch.rand(len(images), 1, 1, 1) * (torch.rand(len(images), 1, 1, 1) < 0.5)
    noise = torch.randn_like(images) * 0.15 * torch.rand(len(images), 1, 1, 1)
    return (images + (blurred - images) * share + noise).clamp(-1, 1)


def spoil(images: Tensor) -> Tensor:
    """Draw the same scenes badly: outlines bent and areas stained, coarsely or finely."""
    parts = []
    for part, cells in zip(images.chunk(3), (4, 8, 16), strict=True):
        count, side = len(part), part.shape[-1]
        bend, stain = (
            functional.interpolate(
                torch.randn(count, channels, cells, cells), (side, side), mode="bicubic"
            )
            * least
            * (most / least) ** torch.rand(count, 1, 1, 1)
            for channels, least, most in ((2, 0.01, 0.06), (3, 0.04, 0.4))
        )
        same = functional.affine_grid(
            torch.eye(2, 3).expand(count, 2, 3), [count, 1, side, side], align_corners=False
        )
        grid = same + bend.permute(0, 2, 3, 1)
        bent = functional.grid_sample(part, grid, padding_mode="border", align_corners=False)
        parts.append((bent + stain).clamp(-1, 1))
    return torch.cat(parts)
