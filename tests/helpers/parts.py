"""The parts of tiny pipelines, with random weights."""

from functools import cache

from diffusers import AutoencoderKL, DDIMScheduler
from transformers import (
    CLIPTextConfig,
    CLIPTokenizer,
    T5Config,
    T5Tokenizer,
)

from tuner.models.miniature import training, world

WIDTH = 16  # of each text encoder

LATENT_SIDE = 8


@cache
def tokenizer() -> CLIPTokenizer:
    return training.tokenizer()


def text_config() -> CLIPTextConfig:
    words = tokenizer()
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=words.model_max_length,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def t5_tokenizer() -> T5Tokenizer:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in world.WORDS)]
    return T5Tokenizer(vocab=[(piece, 0.0) for piece in pieces], extra_ids=0)


def t5_config(width: int = WIDTH) -> T5Config:
    return T5Config(
        vocab_size=len(t5_tokenizer()),
        d_model=width,
        d_kv=WIDTH // 2,
        d_ff=2 * WIDTH,
        num_layers=2,
        num_heads=2,
    )


def vae(shift_factor: float | None = None) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=2 * LATENT_SIDE,
        shift_factor=shift_factor,
    )


def ddim(prediction_type: str) -> DDIMScheduler:
    """The scheduler of Stable Diffusion's checkpoints.

    Not taken from `bench`: inputs of reports have `tests` before it on their path.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
