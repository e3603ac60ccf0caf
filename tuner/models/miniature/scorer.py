"""Training of the miniature's scorer, a small CLIP."""

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

FINE = 0.8  # weight of the fine-tuned weights in their average with those from before


def scorer_config(vocabulary: int) -> dict[str, object]:
    """The architecture of the scorer, as open_clip's `model_cfg`."""
    return {
        "embed_dim": 96,
        "vision_cfg": {
            "image_size": world.SIDE,
            "layers": [1, 1, 1, 1],  # a small ResNet learns to tell shapes apart sooner than a ViT
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
    """Train the scorer: open_clip's CLIP, contrastively, with hard negatives in every batch.

    Then the image encoder is fine-tuned so that badly drawn pictures of a scene do not match its
    caption. The final weights are an average of those before and after fine-tuning, which keeps
    what the scorer learned of captions (Wortsman et al., 2021, arXiv 2109.01903).
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
            module.eval()  # keeps its statistics, which are those of well drawn pictures
    image_encoder = list(model.visual.parameters())
    for _ in optimise(image_encoder, args.fine_steps, 1e-3, fine_loss_of, "scorer, fine", 0.05):
        pass
    with torch.no_grad():
        for old, new in zip(before.parameters(), model.parameters(), strict=True):
            new.copy_(old.lerp(new, FINE))
    folder.mkdir()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}, indent=2))
    words.save_pretrained(folder)


class _Batches:
    """Batches of scenes, each together with scenes that differ from it in one attribute."""

    def __init__(self, words: CLIPTokenizer, rng: random.Random) -> None:
        self.words = words
        self.rng = rng
        self.scenes = train_scenes()
        self.allowed = set(self.scenes)
        self.ids = {scene: number for number, scene in enumerate(self.scenes)}

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (n, 3, 64, 64), token ids (n, CONTEXT) and target matches (n, n).

        Row i of the target says which captions match picture i; it sums to 1.
        """
        batch: list[Scene] = []
        for scene in self.rng.choices(self.scenes, k=32):
            # The first neighbour has the pair in the other order, which is hardest to tell apart.
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
    """CLIP's loss in both directions, where a spoilt picture matches no caption."""
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
    """Blur some pictures a little and add noise, to make them look like a diffusion model's."""
    blurred = functional.avg_pool2d(
        functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    share = torch.rand(len(images), 1, 1, 1) * (torch.rand(len(images), 1, 1, 1) < 0.5)
    noise = torch.randn_like(images) * 0.15 * torch.rand(len(images), 1, 1, 1)
    return (images + (blurred - images) * share + noise).clamp(-1, 1)


def spoil(images: Tensor) -> Tensor:
    """Make the pictures look badly drawn: bend outlines and stain areas, coarsely or finely."""
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
