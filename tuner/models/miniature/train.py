"""Retrain the miniature and its scorer: ``python -m tuner.models.miniature.train``.

Four stages from a fixed seed: the autoencoder and the scorer are trained on drawn pictures, the
text encoder on the meaning of captions (which words belong together), and the U-Net on latents
that are encoded once. The result of a stage is saved in the work folder; a stage whose result is
there is skipped.
"""

import argparse
import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from tuner.models.miniature import world
from tuner.models.miniature.scorer import train_scorer
from tuner.models.miniature.training import (
    CONTEXT,
    optimise,
    pictures,
    tokenize,
    tokenizer,
    train_scenes,
)
from tuner.models.miniature.world import Scene

TEXT_WIDTH = 64
HERE = Path(__file__).parent


def main() -> None:
    """Run the stages that have no result in the work folder yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("miniature-training"))
    parser.add_argument("--out", type=Path, default=HERE / "weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", choices=["all", *STAGES], default="all")
    parser.add_argument("--vae-steps", type=int, default=1500)
    parser.add_argument("--scorer-steps", type=int, default=2500)
    parser.add_argument("--fine-steps", type=int, default=600)
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


def train_vae(args: argparse.Namespace) -> None:
    """Train the autoencoder: 64x64 pictures to 16x16x4 latents."""
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


def train_text(args: argparse.Namespace) -> None:
    """Train the text encoder: the scene's attributes are predicted from the state of a token."""
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
    # Predicts left colour, left shape, right colour, right shape, ground and size; from the first
    # end token, which attends to the whole caption, and from the last token.
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
    """Train the U-Net, together with the text encoder, to predict velocity on latents."""
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
    """A small SD1.5: four levels, two layers a block, cross-attention on three levels."""
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
    """A schedule with nearly no signal at the last timestep, so that grounds get any colour."""
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
    """Draw scenes and encode them; latents of standard deviation 1, (scenes, 4, 16, 16)."""
    parts = []
    for start in range(0, len(scenes), 100):
        images = pictures(scenes[start : start + 100], rng).to(device)
        with torch.no_grad():
            parts.append(vae.encode(images).latent_dist.mean * vae.config.scaling_factor)
    return torch.cat(parts)


def export(args: argparse.Namespace) -> None:
    """Write the trained stages as fp16 weights: a folder of the pipeline and one of the scorer."""
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
