"""Retrain the miniature and its scorer: ``python -m tuner.models.miniature.train``.

Four stages from a fixed seed, each kept in the work folder when it ends and skipped when it is
found there: the autoencoder and the scorer on drawn pictures, the text encoder on the meaning of
captions (which words belong together), and the U-Net on latents that are encoded once.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import open_clip
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tuner.models.miniature import world
from tuner.models.miniature.world import Scene

CONTEXT = 16  # tokens in a caption, start and end counted
TEXT_WIDTH = 64
HERE = Path(__file__).parent


def main() -> None:
    """Read the arguments and run the stages that are still missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("miniature-training"))
    parser.add_argument("--out", type=Path, default=HERE / "weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", choices=["all", *STAGES], default="all")
    parser.add_argument("--vae-steps", type=int, default=1500)
    parser.add_argument("--scorer-steps", type=int, default=2500)
    parser.add_argument("--text-steps", type=int, default=5000)
    parser.add_argument("--unet-steps", type=int, default=8500)
    parser.add_argument("--pictures", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES.items():
        if args.stage in ("all", name):
            torch.manual_seed(args.seed)
            stage(args)


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of the world's words, each of which is one token."""
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
    # The learner breaks ties by chance: put what it learned into an order of our own.
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
    """Every scene that training may see; singles as often as a tenth of all."""
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


def train_vae(args: argparse.Namespace) -> None:
    """The autoencoder: 64x64 pictures to 16x16x4 latents."""
    folder = args.work / "vae"
    if folder.exists():
        return
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=world.SIDE,
    ).to(args.device)
    rng = random.Random(args.seed)
    scenes = train_scenes()
    drawn = pictures(rng.choices(scenes, k=6000), rng).to(args.device)

    def loss_of(step: int) -> Tensor:
        batch = drawn[torch.randint(len(drawn), (24,))]
        with torch.autocast(args.device, torch.bfloat16):
            latent = vae.encode(batch).latent_dist
            rebuilt = vae.decode(latent.sample()).sample.float()
        error = (rebuilt - batch).abs().mean() + 2 * (rebuilt - batch).square().mean()
        loss: Tensor = error + 3e-4 * latent.kl().float().mean() / latent.mean[0].numel()
        return loss

    for _ in optimise(list(vae.parameters()), args.vae_steps, 2e-3, loss_of, "vae"):
        pass
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(part).latent_dist.mean for part in torch.split(drawn[:1000], 50)]
        )
    vae.register_to_config(scaling_factor=1 / latents.std().item())
    vae.save_pretrained(folder)


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
    """The scorer: open_clip's CLIP, trained contrastively with near misses in every batch."""
    folder = args.work / "scorer"
    if folder.exists():
        return
    words = tokenizer()
    config = scorer_config(len(words))
    model = open_clip.CLIP(**config).to(args.device)
    scenes = train_scenes()
    allowed = set(scenes)
    rng = random.Random(args.seed)

    def loss_of(step: int) -> Tensor:
        batch: list[Scene] = []
        for scene in rng.choices(scenes, k=32):
            # The first neighbour is the pair the other way round, the hardest to tell apart.
            swapped, *others = world.neighbours(scene)
            near = [swapped, *rng.sample(others, k=4)]
            batch += [scene, *(other for other in near if other in allowed)]
        images = roughen(pictures(batch, rng)).to(args.device)
        texts = tokenize(words, [rng.choice(scene.captions()) for scene in batch]).to(args.device)
        with torch.autocast(args.device, torch.bfloat16):
            image_features = model.encode_image(images, normalize=True)
            text_features = model.encode_text(texts, normalize=True)
        logits = model.logit_scale.exp() * image_features.float() @ text_features.float().T
        ids = torch.tensor([scene_ids.setdefault(scene, len(scene_ids)) for scene in batch])
        target = (ids[:, None] == ids[None, :]).float().to(args.device)
        target = target / target.sum(1, keepdim=True)
        return (
            functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
        ) / 2

    scene_ids: dict[Scene, int] = {}
    for _ in optimise(list(model.parameters()), args.scorer_steps, 1e-3, loss_of, "scorer", 0.05):
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(50))
    folder.mkdir()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}, indent=2))
    words.save_pretrained(folder)


def roughen(images: Tensor) -> Tensor:
    """Blur some pictures a little and add noise, as a diffusion model might draw them."""
    blurred = functional.avg_pool2d(
        functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    share = torch.rand(len(images), 1, 1, 1) * (torch.rand(len(images), 1, 1, 1) < 0.5)
    noise = torch.randn_like(images) * 0.15 * torch.rand(len(images), 1, 1, 1)
    return (images + (blurred - images) * share + noise).clamp(-1, 1)


def train_text(args: argparse.Namespace) -> None:
    """The text encoder: every token learns what its words and its caption mean."""
    folder = args.work / "text_encoder"
    if folder.exists():
        return
    words = tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    ).to(args.device)
    labels = [None, *world.COLOURS, *world.SHAPES, *world.SIZES]
    # left colour, left shape, right colour, right shape, ground, size; read off every token from
    # the first one that has seen the whole caption.
    head = nn.Linear(TEXT_WIDTH, 6 * len(labels)).to(args.device)
    scenes = train_scenes()
    rng = random.Random(args.seed)

    def loss_of(step: int) -> Tensor:
        batch = rng.choices(scenes, k=64)
        ids = tokenize(words, [rng.choice(scene.captions()) for scene in batch]).to(args.device)
        meaning = torch.tensor([[labels.index(part) for part in _meaning(s)] for s in batch])
        tokens = text(ids).last_hidden_state
        whole = tokens[torch.arange(len(ids)), (ids == words.eos_token_id).int().argmax(1)]
        logits = head(whole).unflatten(1, (6, len(labels)))
        last = head(tokens[:, -1]).unflatten(1, (6, len(labels)))
        target = meaning.to(args.device)
        return functional.cross_entropy(
            logits.flatten(0, 1), target.flatten()
        ) + functional.cross_entropy(last.flatten(0, 1), target.flatten())

    parameters = [*text.parameters(), *head.parameters()]
    for _ in optimise(parameters, args.text_steps, 1e-3, loss_of, "text"):
        pass
    text.save_pretrained(folder)


def _meaning(scene: Scene) -> tuple[str | None, ...]:
    (left, *others) = scene.things
    right: tuple[str | None, str | None] = others[0] if others else (None, None)
    return (*left, *right, scene.ground, scene.size)


def train_unet(args: argparse.Namespace) -> None:
    """The U-Net (and, slowly, the text encoder) on latents, predicting velocity."""
    folder = args.work / "unet"
    if folder.exists():
        return
    words = tokenizer()
    vae = AutoencoderKL.from_pretrained(args.work / "vae").to(args.device)
    text = CLIPTextModel.from_pretrained(args.work / "text_encoder").to(args.device)
    unet = new_unet().to(args.device)
    rng = random.Random(args.seed)
    scenes = rng.choices(train_scenes(), k=args.pictures)
    latents = encode(vae, scenes, rng, args.device)
    ids = tokenize(words, [rng.choice(scene.captions()) for scene in scenes]).to(args.device)
    empty = tokenize(words, [""]).to(args.device)
    scheduler = new_scheduler()
    models = nn.ModuleDict({"unet": unet, "text": text})
    average = deepcopy(models).requires_grad_(False)
    slow_unet: Any = average["unet"]
    slow_text: Any = average["text"]
    unet.set_attn_processor(AttnProcessor())  # fused attention trains slowly on a CPU

    def loss_of(step: int) -> Tensor:
        chosen = torch.randint(len(latents), (args.batch,))
        clean = latents[chosen]
        noise = torch.randn_like(clean)
        t = torch.randint(scheduler.config.num_train_timesteps, (args.batch,), device=clean.device)
        dropped = torch.rand(args.batch, 1, device=clean.device) < 0.1
        caption = torch.where(dropped, empty, ids[chosen])
        with torch.autocast(args.device, torch.bfloat16):
            states = text(caption).last_hidden_state
            velocity = unet(scheduler.add_noise(clean, noise, t), t, states).sample
        return functional.mse_loss(velocity.float(), scheduler.get_velocity(clean, noise, t))

    checkpoint = args.work / "unet.safetensors"
    for step in optimise(list(models.parameters()), args.unet_steps, 1.5e-3, loss_of, "unet"):
        with torch.no_grad():
            keep = min(0.999, step / (step + 10))
            for slow, fast in zip(average.parameters(), models.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        if step % 500 == 0:
            save_file(average.state_dict(), checkpoint)
            (args.work / "unet.step").write_text(str(step))
    slow_text.save_pretrained(args.work / "text_encoder_trained")
    slow_unet.save_pretrained(folder)


def new_unet() -> UNet2DConditionModel:
    """SD1.5's shape in small: four levels, two layers a block, cross-attention on three."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,  # the number of heads, as in SD1.5
        norm_num_groups=8,
    )


def new_scheduler() -> DDIMScheduler:
    """Nearly no signal is left at the last timestep, so that grounds get their own colour."""
    return DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def encode(vae: AutoencoderKL, scenes: list[Scene], rng: random.Random, device: str) -> Tensor:
    """Draw and encode; latents of standard deviation 1, shape (scenes, 4, 16, 16)."""
    parts = []
    for start in range(0, len(scenes), 100):
        images = pictures(scenes[start : start + 100], rng).to(device)
        with torch.no_grad():
            parts.append(vae.encode(images).latent_dist.mean * vae.config.scaling_factor)
    return torch.cat(parts)


def export(args: argparse.Namespace) -> None:
    """Put the stages together as fp16 weights: a pipeline folder and a scorer folder."""
    if not (args.work / "unet").exists():
        return
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(args.work / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(args.work / "text_encoder_trained"),
        tokenizer=tokenizer(),
        unet=UNet2DConditionModel.from_pretrained(args.work / "unet"),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(args.out / "pipeline")
    scorer = args.out / "scorer"
    scorer.mkdir(parents=True, exist_ok=True)
    for file in (args.work / "scorer").iterdir():
        if file.suffix != ".safetensors":
            (scorer / file.name).write_bytes(file.read_bytes())
    weights = load_file(args.work / "scorer" / "open_clip_model.safetensors")
    save_file({k: v.half() for k, v in weights.items()}, scorer / "open_clip_model.safetensors")


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "vae": train_vae,
    "scorer": train_scorer,
    "text": train_text,
    "unet": train_unet,
    "export": export,
}

if __name__ == "__main__":
    main()
